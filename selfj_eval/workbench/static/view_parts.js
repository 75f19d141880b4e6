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

/** The text without accents, as the search sees it; each character keeps its place. */
const plain = (text) => text.replace(/[^\0-\x7f]/gu, (character) => {
  const base = character.normalize('NFD').replace(/\p{M}/gu, '')
  return base.length === character.length ? base : character
})

/** Nodes of a text in which what was searched for is marked. */
export function marked(text, terms) {
  if (!terms.length) return [text]
  const parts = terms.map(plain).map((term) => {
    const own = term.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    return /^[\p{L}\p{N} ]+$/u.test(term) ? `(?<![\\p{L}\\p{N}])${own}` : own
  })
  const pattern = new RegExp(parts.join('|'), 'giu'), nodes = []
  let from = 0
  for (const found of plain(text).matchAll(pattern)) {
    if (nodes.length > 2 * MOST_MARKS) break
    const end = found.index + found[0].length
    nodes.push(text.slice(from, found.index), element('mark', {}, text.slice(found.index, end)))
    from = end
  }
  return [...nodes, text.slice(from)]
}
