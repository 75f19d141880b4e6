// Browsers start no worker from a folder. Search is the one worker of this site: from a folder, its
// script runs in a hidden frame. Messages are copied and arrive later, as those of a worker.
if (location.protocol === "file:") {
  const send = (receiver, data) => {
    const copy = structuredClone(data);
    setTimeout(() => receiver.onmessage?.({ data: copy }));
  };
  window.Worker = class {
    constructor(url) {
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.onload = () => this.#begin(url);
      document.documentElement.append(this.frame);
    }

    #begin(url) {
      const inner = this.frame.contentWindow;
      inner.postMessage = (data) => send(this, data);
      const script = inner.document.createElement("script");
      script.src = url;
      script.onload = () => {
        for (const data of this.waiting) send(inner, data);
        this.waiting = null;
      };
      script.onerror = (event) => this.onerror?.(event);
      inner.document.head.append(script);
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else send(this.frame.contentWindow, data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
