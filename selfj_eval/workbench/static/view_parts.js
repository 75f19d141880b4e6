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

/** The text without the accents of Latin letters, as the search for words sees it; each character keeps its place. */
const plain = (text) => text.replace(/[\u00c0-\u1eff]/g, (character) => {
  const base = character.normalize('NFD')[0]
  return base <= '\x7f' ? base : character
})

const escaped = (term) => term.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
const matches = (text, patterns) => patterns.length ? [...text.matchAll(new RegExp(patterns.join('|'), 'giu'))] : []

/** Nodes of a text in which what was searched for is marked: words (their beginnings, without regard to accents) and other texts. */
export function marked(text, { words, others }) {
  const found = [
    ...matches(plain(text), words.map((word) => `(?<![\\p{L}\\p{N}])${escaped(plain(word))}\\p{M}*`)),
    ...matches(text, others.map(escaped)),
  ].sort((one, two) => one.index - two.index)
  const nodes = []
  let from = 0
  for (const { index, 0: { length } } of found.slice(0, MOST_MARKS)) {
    if (index < from) continue // within another one
    nodes.push(text.slice(from, index), element('mark', {}, text.slice(index, index + length)))
    from = index + length
  }
  return [...nodes, text.slice(from)]
}
