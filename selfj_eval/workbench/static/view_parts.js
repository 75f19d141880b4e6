// Small parts of the page. Texts become text nodes: nothing in them is ever read as HTML.

/** An element with properties and children; a child may be a text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  if (properties.role) made.setAttribute('role', properties.role)
  made.append(...children)
  return made
}

/** A number as people read it; nothing for null. */
export function number(value) {
  if (value === null || value === undefined) return ''
  return Number.isInteger(value) ? value.toLocaleString('en') : value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
}

const MOST_MARKS = 500

/** Nodes of a text in which what was searched for is marked. */
export function marked(text, terms) {
  if (!terms.length) return [text]
  const parts = terms.map((term) => {
    const own = term.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    return /^[\p{L}\p{N} ]+$/u.test(term) ? `(?<![\\p{L}\\p{N}])${own}` : own
  })
  const pattern = new RegExp(parts.join('|'), 'giu'), nodes = []
  let from = 0
  for (const found of text.matchAll(pattern)) {
    if (nodes.length > 2 * MOST_MARKS) break
    nodes.push(text.slice(from, found.index), element('mark', {}, found[0]))
    from = found.index + found[0].length
  }
  return [...nodes, text.slice(from)]
}
