// One answer beside its reference or another answer, with what the judges say of it.
import { element, marked, number } from './view_parts.js'

/**
 * Show an answer.
 * @param panel the element that is filled
 * @param given answer, other (put beside it, or null), about, terms, and the actions close, beside(n), step(by)
 */
export function showAnswer(panel, given) {
  const { answer, other, about, terms, close, step } = given
  const heading = element('h2', {}, element('bdi', {}, answer.id))
  const button = (text, name, action) => {
    const made = element('button', { type: 'button', ariaLabel: name }, text)
    made.addEventListener('click', action)
    return made
  }
  const top = element('div', { className: 'top' }, heading, element('div', { className: 'buttons' },
    button('↑', 'Previous answer', () => step(-1)), button('↓', 'Next answer', () => step(1)), button('Close', 'Close the answer', close)))
  const sides = [column(answer, about, terms, Boolean(other))]
  if (other) sides.push(column(other, about, terms, true))
  else if (answer.reference) sides.push(element('div', {}, element('h3', {}, 'Reference'), text(answer.reference, 'Reference', terms)))
  const parts = [top, facts(answer)]
  if (!other) parts.push(verdicts(answer, about))
  if (answer.question) parts.push(element('div', { className: 'question' }, element('h3', {}, 'Question'), text(answer.question, 'Question', terms)))
  parts.push(element('div', { className: 'beside' }, ...sides))
  if (other && answer.reference) parts.push(element('h3', {}, 'Reference'), text(answer.reference, 'Reference', terms))
  if (answer.others.length) parts.push(...others(given))
  panel.replaceChildren(...parts)
}

function facts(answer) {
  const line = element('p', { className: 'soft' })
  const place = answer.verdicts.map((verdict) => `${verdict.file}, ${verdict.place}`).join('; ')
  if (answer.category) line.append(element('bdi', {}, answer.category), ' · ')
  line.append(element('bdi', {}, place))
  return line
}

/** The text of an answer; with what was said of it where two are side by side. */
function column(answer, about, terms, withVerdicts) {
  const title = element('h3', {}, 'Answer')
  if (answer.model) title.append(' by ', element('bdi', {}, answer.model))
  const parts = withVerdicts ? [title, verdicts(answer, about)] : [title]
  parts.push(answer.response ? text(answer.response, 'Answer', terms) : element('p', { className: 'soft' }, 'The scores hold no text of the answer; the file of ratings can give it.'))
  return element('div', {}, ...parts)
}

function verdicts(answer, about) {
  const parts = answer.verdicts.map((verdict) => judged(answer, verdict, about))
  if (answer.rating !== null) {
    const scale = about.rating_scale ? ` on ${about.rating_scale.join(' to ')}` : ''
    parts.push(element('p', {}, 'Rating: ', element('strong', {}, number(answer.rating)), element('span', { className: 'soft' }, scale)))
  }
  return element('div', { className: 'verdicts' }, ...parts)
}

function text(given, name, terms) {
  const box = element('div', { className: 'text', dir: 'auto', tabIndex: 0, role: 'region', ariaLabel: name }, ...marked(given.text, terms))
  if (!given.text) box.append(element('span', { className: 'soft' }, '(empty)'))
  if (!given.cut) return box
  return element('div', {}, box, element('p', { className: 'soft' }, `The last ${number(given.cut)} characters are not shown.`))
}

function judged(answer, verdict, about) {
  const judge = about.judges[verdict.judge], score = answer.scores[verdict.judge], off = answer.disagreement[verdict.judge]
  const line = element('p', {}, element('bdi', {}, judge.name), ': ')
  if (score === null) line.append(element('span', { className: 'warn' }, `unscored: ${verdict.error ?? 'no score in the file'}`))
  else line.append(element('strong', {}, number(score)))
  if (off !== null) line.append(element('span', { className: 'soft' }, ` (off by ${number(off)})`))
  const parts = [line]
  if (verdict.probabilities) parts.push(chart(answer, verdict.probabilities, judge, about))
  return element('div', { className: 'verdict' }, ...parts)
}

/** The judge's probabilities of its labels as bars; the label next to the rating is marked. */
function chart(answer, probabilities, judge, about) {
  const labels = judge.labels.length === probabilities.length ? judge.labels : probabilities.map((_, k) => String(k + 1))
  const highest = Math.max(...probabilities), percent = (p) => `${(100 * p).toFixed(p < 0.095 ? 1 : 0)} %`
  const scale = about.rating_scale
  const rated = scale && answer.rating !== null ? Math.round((answer.rating - scale[0]) / (scale[1] - scale[0]) * (labels.length - 1)) : null
  const told = labels.map((label, k) => `${label}: ${percent(probabilities[k])}`).join(', ')
  const mark = rated === null ? '' : `. The rating is next to ${labels[rated]}`
  const bars = labels.map((label, k) => {
    const share = probabilities[k], bar = element('div', { className: 'bar' }), amount = element('span', { className: 'share' })
    const height = highest ? 80 * share / highest : 0
    bar.style.height = `${height}%`
    amount.style.bottom = `${height}%`
    if (share >= 0.01) amount.textContent = String(Math.round(100 * share))
    const name = element('div', k === rated ? { className: 'rated' } : {}, element('bdi', {}, label))
    return element('div', { title: `${label}: ${percent(share)}` }, element('div', { className: 'space' }, bar, amount), name)
  })
  return element('div', { className: 'chart', role: 'img', ariaLabel: `Probabilities: ${told}${mark}` }, ...bars)
}

/** The other answers to the same question; a button puts one of them beside. */
function others({ answer, other, about, beside }) {
  const buttons = answer.others.map((each) => {
    const scores = each.scores.filter((score) => score !== null).map(number).join(' / ') || 'unscored'
    const rating = each.rating === null ? '' : `, rated ${number(each.rating)}`
    const made = element('button', { type: 'button', ariaPressed: String(other?.n === each.n) }, element('bdi', {}, each.model ?? each.id), ` ${scores}${rating}`)
    made.addEventListener('click', () => beside(other?.n === each.n ? null : each.n))
    return made
  })
  const list = element('ul', { className: 'others' }, ...buttons.map((each) => element('li', {}, each)))
  list.addEventListener('next', () => {
    const at = answer.others.findIndex((each) => each.n === other?.n) + 1
    beside(at < answer.others.length ? answer.others[at].n : null)
  })
  return [element('h3', {}, 'Other answers to this question ', element('span', { className: 'soft' }, 'click one to compare')), list]
}
