// The list of answers: its state is the query of the address, so that a copied address shows the same.
import { element, marked, number } from './view_parts.js'
import { showAnswer } from './view_answer.js'

const byId = (id) => document.getElementById(id)
const form = byId('query'), rows = byId('rows'), list = byId('list'), panel = byId('answer'), main = byId('main')
let about = null, shown = { rows: [], total: 0, start: 0, terms: { words: [], others: [] } }, current = -1
let request = null, listed = null // the latest request for a list, and the query of the list that is shown
let opened = null // the answer that is shown; '' after an error
let waiting = 0, typedIn = null // the timer after typing, and the field whose text made this entry of the history

const state = () => new URLSearchParams(location.search)
const DEFAULTS = { sort: 'file', order: 'up', show: 'all', judge: '0', start: '0' }
const FILTERS = ['show', 'model', 'category', 'score_from', 'score_to', 'rating_from', 'rating_to', 'disagreement_from', 'gap_from', 'judge']

async function ask(path, signal) {
  let response, found
  try {
    response = await fetch(path, { signal })
    found = await response.json().catch((error) => {
      if (response.ok || signal?.aborted) throw error
      return {}
    })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Error('The page cannot reach the command that serves it. Start the command again.')
  }
  if (!response.ok) throw new Error(found.error ?? response.statusText)
  return found
}

/** Change the address. What is typed into one field, one letter after the other, is one entry of the history. */
function visit(next, { replace = false, field = null } = {}) {
  if (next.toString() === state().toString()) return
  const same = replace || field !== null && field === typedIn
  history[same ? 'replaceState' : 'pushState'](null, '', next.size ? `?${next}` : location.pathname)
  typedIn = field
}

/** Change parameters of the address, and show what it asks for; null or a default removes a parameter. */
function go(changes, how = {}) {
  const next = state()
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '' || String(value) === DEFAULTS[name]) next.delete(name)
    else next.set(name, value)
  }
  visit(next, how)
  return update()
}

const listKey = (query) => { const q = new URLSearchParams(query); q.delete('open'); q.delete('beside'); return q.toString() }
const busy = () => list.hasAttribute('aria-busy')

/** Show what the address asks for; `travelled` says that the browser went to it by Back or Forward. */
async function update(travelled = false) {
  if (about === null) return
  const query = state()
  fillForm(query, travelled)
  await loadList(query, travelled)
  await loadAnswer(state()) // the address may have changed meanwhile
}

/** Load and show the list, unless it is shown; tells whether it is the one that was asked for last. */
async function loadList(query, travelled = false) {
  request?.abort() // even if nothing needs loading: the pending list would replace the one that is wanted
  request = new AbortController()
  const key = listKey(query)
  try {
    if (listed !== key) {
      list.setAttribute('aria-busy', 'true')
      shown = await ask(`/api/answers?${key}`, request.signal)
      current = -1
      drawList(query)
      listed = key
      list.scrollTop = 0
      if (state().has('open')) rows.querySelector('.current')?.scrollIntoView({ block: 'nearest' })
      else if (!travelled) scrollTo(0, 0) // otherwise the browser has scrolled
    }
  } catch (error) {
    if (error.name === 'AbortError') return false
    listed = null // what is asked for next is loaded, and takes the message away
    byId('status').textContent = error.message
    byId('status').classList.add('warn')
  }
  list.removeAttribute('aria-busy')
  return listed === key
}

/** Show the query in the form; in the field that has the focus, where somebody may be typing, only on request. */
function fillForm(query, everyField) {
  for (const control of form.elements) {
    if (!control.name || !everyField && control === document.activeElement && control.type !== 'select-one') continue
    control.value = query.get(control.name) ?? DEFAULTS[control.name] ?? ''
  }
  const active = FILTERS.filter((name) => query.has(name)).length
  byId('active').textContent = active ? `(${active})` : ''
  form.elements.order.hidden = !query.has('sort')
}

const COLUMNS = () => {
  const many = about.judges.length > 1
  const scores = about.judges.map((judge, k) => ({ key: `score ${k}`, title: many ? judge.name : 'Score', type: 'number', sort: 'score', judge: k,
    fill: (cell, row) => fillScore(cell, row, judge, k) }))
  const plain = (key, title, sort, kind = 'number') => ({ key, title, type: `${kind} ${key}`, sort, fill: (cell, row) => { cell.textContent = number(row[key]) } })
  const texts = (key, title) => ({ key, title, type: key, fill: (cell, row) => fillText(cell, row, key) })
  return [
    ...scores,
    ...(about.rated ? [plain('rating', 'Rating', 'rating')] : []),
    ...(many ? [plain('gap', 'Difference', 'gap', 'number off')] : []),
    ...(about.judges.some((judge) => judge.disagreement) ? [{ ...plain('disagreement', 'Disagreement', 'disagreement', 'number off'),
      fill: (cell, row) => { cell.textContent = number(row.disagreement[Number(state().get('judge') ?? 0)]) } }] : []),
    ...(about.models.length ? [{ key: 'model', title: 'Model', type: 'who', fill: (cell, row) => who(cell, row.model) }] : []),
    ...(about.categories.length ? [{ key: 'category', title: 'Category', type: 'who', fill: (cell, row) => who(cell, row.category) }] : []),
    texts('question', 'Question'), texts('response', 'Answer'),
  ]
}

const who = (cell, name) => name === null || cell.append(element('bdi', { className: 'line' }, name))

function fillScore(cell, row, judge, k) {
  const score = row.scores[k]
  if (score === null) {
    cell.append(element('span', { className: row.judged[k] ? 'warn' : 'none' }, row.judged[k] ? 'unscored' : '–'))
    return
  }
  cell.append(number(score))
  if (!judge.scale) return
  const meter = element('span', { className: 'meter', ariaHidden: 'true' }, element('span'))
  meter.firstChild.style.width = `${100 * (score - judge.scale[0]) / (judge.scale[1] - judge.scale[0])}%`
  cell.append(meter)
}

function fillText(cell, row, key) {
  const line = element('span', { className: 'line', dir: 'auto' }, ...marked(row[key] ?? '', shown.terms))
  if (key !== 'question') { cell.append(line); return }
  const query = state()
  query.set('open', row.n)
  query.delete('beside')
  const link = element('a', { href: `?${query}` }, row[key] === null ? row.id : line)
  link.setAttribute('aria-label', `Open answer ${row.id}: ${row[key] ?? ''}`)
  cell.append(link)
}

function drawList(query) {
  const columns = COLUMNS(), sort = query.get('sort') ?? 'file', order = query.get('order') ?? 'up', judge = Number(query.get('judge') ?? 0)
  const heads = byId('heads'), focused = [...heads.children].findIndex((head) => head.contains(document.activeElement))
  heads.replaceChildren(...columns.map((column) => {
    const head = element('th', { className: column.type, scope: 'col', role: 'columnheader' })
    if (!column.sort) { head.append(column.title); return head }
    const on = sort === column.sort && (column.judge ?? judge) === judge
    if (on) head.ariaSort = order === 'up' ? 'ascending' : 'descending'
    const button = element('button', { type: 'button' }, element('bdi', {}, column.title), on ? (order === 'up' ? ' ↑' : ' ↓') : '')
    button.addEventListener('click', () => go({ sort: column.sort, order: on && order === 'up' ? 'down' : 'up', judge: column.judge ?? judge, start: null }))
    head.append(button)
    return head
  }))
  heads.children[focused]?.querySelector('button')?.focus({ preventScroll: true })
  rows.replaceChildren(...shown.rows.map((row) => {
    const line = element('tr', { role: 'row' })
    for (const column of columns) {
      const cell = element('td', { className: column.type, role: 'cell' })
      if (column.sort === sort) cell.classList.add('sorted')
      column.fill(cell, row)
      if (!cell.textContent) cell.classList.add('empty')
      if (!['question', 'response'].includes(column.key)) cell.dataset.name = column.type === 'who' ? '' : column.title.toLowerCase()
      line.append(cell)
    }
    line.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection())) return
      event.preventDefault()
      open(row.n)
    })
    return line
  }))
  const { total, start } = shown, end = start + shown.rows.length
  byId('status').classList.remove('warn')
  const all = total === about.answers ? '' : ` of ${number(about.answers)}`
  byId('status').textContent = `${number(total)}${all} ${about.answers === 1 ? 'answer' : 'answers'}, ${number(shown.unscored)} unscored`
  byId('range').textContent = total ? `${number(start + 1)} to ${number(end)}` : 'Nothing was found.'
  byId('back').disabled = start === 0
  byId('forth').disabled = end >= total
  markOpen()
}

function markOpen() {
  const n = state().has('open') ? Number(state().get('open')) : null
  shown.rows.forEach((row, k) => {
    if (row.n === n) current = k
    rows.children[k].classList.toggle('current', row.n === n)
    row.n === n ? rows.children[k].setAttribute('aria-current', 'true') : rows.children[k].removeAttribute('aria-current')
  })
}

const open = (n) => go({ open: n, beside: null }, { replace: state().has('open') })

async function loadAnswer(query) {
  const n = query.get('open'), beside = query.get('beside'), key = `${n} ${beside} ${JSON.stringify(shown.terms)}`
  const was = opened
  main.classList.toggle('open', n !== null)
  panel.hidden = n === null
  markOpen()
  if (n === null) {
    opened = null
    if (was !== null && !form.contains(document.activeElement)) focusRow()
    return
  }
  if (was === key) return
  opened = key
  try {
    const [answer, other] = await Promise.all([n, beside].map((each) => each === null ? null : ask(`/api/answers/${encodeURIComponent(each)}`)))
    if (opened !== key) return
    const name = (button) => button.ariaLabel ?? button.textContent
    const focused = panel.contains(document.activeElement) ? name(document.activeElement) : null
    const putBeside = (each) => state().get('open') === n && go({ beside: each }, { replace: true }) // unless another answer was asked for meanwhile
    showAnswer(panel, { answer, other, about, terms: shown.terms, close, beside: putBeside, step })
    if (focused !== null) ([...panel.querySelectorAll('button')].find((button) => name(button) === focused) ?? panel).focus({ preventScroll: true })
  } catch (error) {
    if (opened !== key) return
    opened = '' // so that it is asked for again
    const button = element('button', { type: 'button' }, 'Close')
    button.addEventListener('click', close)
    panel.replaceChildren(element('p', { className: 'warn', role: 'alert' }, error.message), button)
  }
  panel.scrollTop = 0
  if (was === null) panel.focus({ preventScroll: true })
  rows.children[current]?.scrollIntoView({ block: 'nearest' })
  if (innerWidth < 900 && was?.split(' ')[0] !== n) scrollTo(0, 0)
}

const close = () => go({ open: null, beside: null })
const turn = (by) => busy() || go({ start: Math.max(0, shown.start + by * about.size) })

function focusRow() {
  const row = rows.children[Math.max(0, current)]
  row?.querySelector('a')?.focus()
}

/** To the next or the previous answer; at the end of the list to its next part. */
async function step(by) {
  if (busy()) return
  const next = current + by, isOpen = state().has('open')
  if (next >= 0 && next < shown.rows.length) current = next
  else {
    const start = shown.start + by * about.size
    if (start < 0 || start >= shown.total) return
    visit(withStart(start))
    if (!await loadList(state())) return // something else was asked for meanwhile, or there was an error
    current = by > 0 ? 0 : shown.rows.length - 1
  }
  if (isOpen) open(shown.rows[current].n)
  else focusRow()
}

function withStart(start) {
  const query = state()
  start ? query.set('start', start) : query.delete('start')
  return query
}

function showFilters(on) {
  byId('filters').hidden = !on
  byId('more').setAttribute('aria-expanded', on)
}

const ACTIONS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  n: () => byId('forth').disabled || turn(1), p: () => byId('back').disabled || turn(-1),
  b: () => byId('answer').querySelector('.others')?.dispatchEvent(new Event('next')),
  '/': () => byId('q').select(), '?': () => byId('help').showModal(),
  f: () => { showFilters(byId('filters').hidden); if (!byId('filters').hidden) form.elements.show.focus() },
}

document.addEventListener('keydown', (event) => {
  if (about === null || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return
  const typing = event.target.matches('input, select, textarea')
  if (event.key === 'Escape') {
    if (typing) {
      event.preventDefault() // a browser would empty the search field
      event.target.blur()
    } else if (state().has('open')) close()
    return
  }
  if (event.key === 'Enter' && event.target.matches('input')) {
    event.preventDefault()
    leave(event.target)
  }
  const scrolling = event.key.startsWith('Arrow') && event.target.matches('.text, button')
  if (typing || scrolling || !(event.key in ACTIONS)) return
  event.preventDefault()
  ACTIONS[event.key]()
})

function stopWaiting() {
  clearTimeout(waiting)
  waiting = 0
}

/** Apply what the form says, all controls at once: another one may have waited. */
function apply(field) {
  stopWaiting()
  return go({ ...Object.fromEntries(new FormData(form)), start: null }, { field })
}

/** Apply what was typed into a field, and go from there to the list. */
async function leave(field) {
  if (field.validity.badInput) return
  const applied = apply(field.name)
  typedIn = null
  field.blur()
  await applied
  if (document.activeElement === document.body) focusRow()
}

form.addEventListener('input', ({ target }) => {
  stopWaiting()
  if (target.type === 'select-one') apply(null)
  else if (!target.validity.badInput) waiting = setTimeout(apply, 150, target.name)
})
form.addEventListener('focusout', ({ target }) => {
  if (target.validity.badInput) fillForm(state(), true)
  else if (waiting) apply(target.name)
})
byId('clear').addEventListener('click', () => {
  stopWaiting()
  go({ ...Object.fromEntries([...FILTERS, 'q'].map((name) => [name, null])), start: null })
})
byId('more').addEventListener('click', () => showFilters(byId('filters').hidden))
byId('back').addEventListener('click', () => turn(-1))
byId('forth').addEventListener('click', () => turn(1))
byId('keys').addEventListener('click', () => byId('help').showModal())
addEventListener('popstate', () => {
  stopWaiting()
  typedIn = null
  update(true)
})

async function begin() {
  about = await ask('/api/about')
  const fill = (name, pairs) => form.elements[name].append(...pairs.map(([value, title]) => element('option', { value }, title)))
  fill('judge', about.judges.map((judge, k) => [k, judge.name]))
  fill('model', about.models)
  fill('category', about.categories)
  const off = { judge: about.judges.length < 2, model: !about.models.length, category: !about.categories.length,
    gap_from: about.judges.length < 2, disagreement_from: !about.judges.some((judge) => judge.disagreement), rating_from: !about.rated }
  for (const [name, hide] of Object.entries(off)) form.elements[name].closest('label, fieldset').hidden = hide
  for (const option of [...form.elements.sort.options]) {
    const name = { gap: 'gap_from', disagreement: 'disagreement_from', rating: 'rating_from' }[option.value]
    if (name && off[name]) option.remove()
  }
  if (about.rating_scale) byId('rating-scale').textContent = `(${about.rating_scale.join(' to ')})`
  byId('title').textContent = about.judges.map((judge) => judge.name).join(' · ')
  byId('title').title = about.files.join('\n')
  document.title = `${byId('title').textContent} · Self-J`
  showFilters(FILTERS.some((name) => state().has(name)))
  form.inert = false
  await update()
}
begin().catch((error) => {
  byId('status').textContent = error.message
  byId('status').classList.add('warn')
})
