// The page of `selfj rate`. The server keeps the state; the page shows what it says.
"use strict";

const $ = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-rating]")];
const drafts = new Map(); // comments that are not saved, by key: of answers without a rating, mostly
let rater = "";
let now = null; // the answer that is shown; null at the end
let again = false; // whether the skipped answers are gone through
let introduced = false; // whether the guidelines are open for the first answer
let busy = false;
let saving = Promise.resolve(); // requests go one after the other

function say(text, wrong = false) {
  $("said").textContent = text;
  $("said").classList.toggle("wrong", wrong);
}

async function ask(path, body) {
  const options = { headers: { "X-Selfj": "1" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify({ rater, ...body });
  } else {
    path += (path.includes("?") ? "&" : "?") + new URLSearchParams({ rater });
  }
  let response, found;
  try {
    response = await fetch(path, options);
    found = await response.json().catch((error) => {
      if (response.ok) throw error;
      return {};
    });
  } catch {
    throw new Error("the server does not answer. Is “selfj rate” still running?");
  }
  if (!response.ok) throw new Error(found.error ?? `the server says ${response.status}.`);
  return found;
}

// Does one thing at a time; what is pressed meanwhile is not meant for the next answer.
async function doing(work, failed) {
  if (busy) return;
  busy = true;
  say(""); // and not later: what goes wrong with a comment meanwhile must stay to be read
  $("work").classList.add("busy");
  $("comment").readOnly = true;
  try {
    await saving;
    await work();
  } catch (error) {
    say(`${failed}: ${error.message}`, true);
  } finally {
    busy = false;
    $("work").classList.remove("busy");
    $("comment").readOnly = false;
  }
}

function show(found) {
  const { rated, skipped, total } = found.progress;
  now = found.key === undefined ? null : found;
  $("progress").max = total;
  $("progress").value = rated + skipped;
  $("counts").textContent = `${rated} rated` + (skipped ? `, ${skipped} skipped` : "");
  $("work").classList.toggle("over", now === null);
  $("answer").hidden = now === null;
  $("done").hidden = now !== null;
  if (now === null) {
    $("where").textContent = skipped ? "You have seen all answers" : "All answers are rated";
    $("summary").textContent = `${rated} of ${total} answers are rated` + (skipped ? `, ${skipped} skipped.` : ".");
    $("again").hidden = skipped === 0;
    again = false;
    openComment(false);
  } else {
    $("where").textContent = `Answer ${now.position + 1} of ${total}`;
    fill("question", now.question);
    fill("response", now.response || "(The answer is empty.)");
    $("response").classList.toggle("empty", now.response === "");
    $("with-reference").hidden = now.reference === undefined;
    fill("reference", now.reference ?? "");
    mark(now.rating);
    $("comment").value = drafts.get(now.key) ?? now.comment ?? "";
    commented();
    openComment(false);
    $("back").disabled = now.position === 0;
  }
  if (introduced && rated + skipped > 0) {
    $("guidelines").open = introduced = false;
  }
  $("reading").scrollTop = 0;
  $("reading").focus();
}

function fill(id, text) {
  $(id).textContent = text;
  $(id).scrollTop = 0;
}

// undefined: nothing said; null: skipped.
function mark(rating) {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.rating) === rating));
  }
  if ($("number")) $("number").value = rating ?? "";
  $("skip").setAttribute("aria-pressed", String(rating === null));
}

function commented() {
  $("write").classList.toggle("written", $("comment").value !== "");
}

function openComment(open) {
  $("commenting").hidden = !open;
  $("write").setAttribute("aria-expanded", String(open));
  if (open) $("comment").focus();
}

function rate(rating) {
  if (now === null) return;
  const own = now;
  doing(async () => {
    const comment = $("comment").value;
    const found = await ask("/api/rating", { key: own.key, rating, comment, skipped: again });
    drafts.delete(own.key);
    show(found);
    say(`Answer ${own.position + 1}: ${rating === null ? "skipped" : `rated ${rating}`}.`);
  }, "Not saved");
}

function undo() {
  doing(async () => {
    const found = await ask("/api/undo", {});
    if (found.nothing) {
      say("There is nothing to undo.");
      return;
    }
    // An answer that has a rating again also has the comment that belongs to it.
    if (found.rating === undefined && found.draft) drafts.set(found.key, found.draft);
    show(found);
    say(`Answer ${found.position + 1}: ${undoing(found)}.`);
  }, "Not undone");
}

function undoing({ rating, undone }) {
  if (rating === undone) return "the change of the comment was undone";
  const what = undone === null ? "the skip" : `the rating ${undone}`;
  const again = rating === undefined ? "" : rating === null ? "; it is skipped again" : `; it is rated ${rating} again`;
  return `${what} was undone${again}`;
}

function go(step) {
  if (now === null) return;
  const position = now.position + step;
  if (position < 0) return;
  if (position >= Number($("progress").max)) {
    next(false);
    return;
  }
  doing(async () => {
    show(await ask(`/api/answer?position=${position}`));
  }, "Not shown");
}

function next(skipped) {
  doing(async () => {
    const found = await ask(`/api/next?skipped=${skipped}`);
    again = skipped;
    show(found);
  }, "Not shown");
}

// A comment on an answer that is rated already is kept at once; another one goes with its rating.
function keepComment() {
  commented();
  if (now === null) return;
  const own = now;
  const comment = $("comment").value;
  if (own.rating === undefined) {
    drafts.set(own.key, comment);
    return;
  }
  saving = saving
    .then(() => ask("/api/rating", { key: own.key, rating: own.rating, comment }))
    .then(() => {
      own.comment = comment;
      drafts.delete(own.key);
      say("The comment is saved.");
    })
    .catch((error) => {
      drafts.set(own.key, comment);
      say(`The comment is not saved: ${error.message}`, true);
    });
}

function start(name) {
  rater = name.trim();
  if (!rater) return;
  const address = new URL(location.href);
  address.searchParams.set("rater", rater);
  history.replaceState(null, "", address);
  for (const place of document.querySelectorAll(".me")) place.textContent = rater;
  $("start").hidden = true;
  $("work").hidden = false;
  doing(async () => {
    const found = await ask("/api/next");
    if ($("guidelines") && found.progress.rated + found.progress.skipped === 0) {
      $("guidelines").open = introduced = true;
    }
    show(found);
  }, "Not shown");
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("help").open) return;
  if ($("work").hidden) return;
  const field = event.target.closest("input, textarea");
  if (field) {
    if (event.key === "Escape") {
      field.blur();
      if (field === $("comment")) openComment(false);
    }
    return;
  }
  const button = buttons.find((one) => one.dataset.key === event.key);
  const keys = {
    s: () => rate(null),
    u: undo,
    c: () => now !== null && openComment(true),
    g: () => $("guidelines")?.toggleAttribute("open"),
    "?": () => $("help").showModal(),
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
  };
  if (button) rate(Number(button.dataset.rating));
  else if ($("number") && /^[-0-9]$/.test(event.key)) {
    $("number").value = ""; // the digit goes into the field that gets the focus
    $("number").focus();
    return;
  } else if (Object.hasOwn(keys, event.key)) keys[event.key]();
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", pressed);
for (const button of buttons) {
  button.addEventListener("click", () => rate(Number(button.dataset.rating)));
}
$("typed")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = $("number").valueAsNumber;
  $("number").blur();
  rate(value);
});
$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  start($("name").value);
});
for (const button of document.querySelectorAll("[data-name]")) {
  button.addEventListener("click", () => start(button.dataset.name));
}
$("skip").addEventListener("click", () => rate(null));
$("undo").addEventListener("click", undo);
$("back").addEventListener("click", () => go(-1));
$("forward").addEventListener("click", () => go(1));
$("write").addEventListener("click", () => openComment($("commenting").hidden));
$("comment").addEventListener("change", keepComment);
$("comment").addEventListener("input", commented);
$("again").addEventListener("click", () => next(true));
$("look").addEventListener("click", () => {
  doing(async () => show(await ask("/api/answer?position=0")), "Not shown");
});
$("ask").addEventListener("click", () => $("help").showModal());

const known = $("start").dataset.rater ?? new URLSearchParams(location.search).get("rater");
if (known) start(known);
else $("name").focus();
