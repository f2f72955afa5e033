// One review: show its class, its words in the colours of their contributions, and the sum.

import { askAbout } from "./feedback.js";
import { many, percent, signed } from "./numbers.js";
import { ask, takesFeedback } from "./server.js";

const LEVELS = 4;
const element = (id) => document.getElementById(id);
const form = element("ask");
const review = element("review");
const problem = element("problem");
const status = element("status");
const answer = element("answer");
const words = element("words");
const ngrams = element("ngrams");
const choice = element("explained");
let request = new AbortController();
let shown = {}; // the text that is shown, and its class

form.addEventListener("submit", (event) => {
  event.preventDefault();
  answerTo(review.value.toWellFormed());
});
choice.addEventListener("change", () => answerTo(shown.text, choice.value));
review.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
for (const example of document.querySelectorAll("[data-text]")) {
  example.addEventListener("click", () => {
    review.value = example.dataset.text;
    form.requestSubmit();
  });
}

// Show the class of a text, and what speaks for it or for the class `name`
async function answerTo(text, name) {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  form.setAttribute("aria-busy", "true");
  problem.textContent = status.textContent = "";
  try {
    const [id, { explanations }] = await Promise.all([
      name ? null : predict(text, signal),
      ask("explain", [text], { tokens: true, class: name }, signal),
    ]);
    if (signal.aborted) return; // replaced by a later request
    show(text, explanations[0]);
    const { label, probabilities } = explanations[0];
    // another version may see the text in another class: then the question is about neither
    if (!name || label !== shown.label) askAbout(id, label, Object.keys(probabilities));
    shown = { text, label };
  } catch (error) {
    if (signal.aborted) return;
    answer.hidden = true;
    problem.textContent = error.message;
  }
  form.removeAttribute("aria-busy");
}

// Return the id of a prediction of the text, which the server captures, or null where it does not.
// The explanation shows the same class, or during a change of versions perhaps another one; feedback
// holds either way, as it has the class of the text, not a judgement of a version
async function predict(text, signal) {
  if (!(await takesFeedback())) return null;
  return (await ask("predict", [text], undefined, signal)).id;
}

function show(text, explanation) {
  const { label, class: explained, probabilities } = explanation;
  const probability = probabilities[explained];
  const others = Object.keys(probabilities).filter((name) => name !== explained);
  for (const each of document.querySelectorAll("[data-for]")) each.textContent = explained;
  for (const each of document.querySelectorAll("[data-against]")) {
    each.textContent = others.length === 1 ? others[0] : "another class";
  }
  element("label").textContent = label;
  element("probability").textContent = percent(probability);
  element("mark").style.left = `${100 * probability}%`;
  answer.dataset.label = label === explained ? "positive" : "negative"; // the colour
  element("classes").hidden = others.length === 1;
  element("classes").textContent = others
    .map((name) => `${name}: ${percent(probabilities[name])}`)
    .join(", ");
  element("choice-of-class").hidden = others.length === 1;
  choice.replaceChildren(...Object.keys(probabilities).map((each) => new Option(each)));
  choice.value = explained;
  const located = showWords(text, explanation.tokens);
  const strongest = Math.max(...explanation.ngrams.map((each) => Math.abs(each.contribution)));
  ngrams.replaceChildren(...explanation.ngrams.map((each) => row(each, strongest, located)));
  element("other").textContent = signed(explanation.other);
  element("bias").textContent = signed(explanation.bias);
  element("log-odds").textContent = signed(explanation.log_odds);
  answer.hidden = false;
  element("verdict").scrollIntoView({ block: "nearest" });
  const caution = cautionOf(explanation.words);
  element("caution").hidden = !caution;
  element("caution").textContent = caution;
  const found = `${label}. Probability of ${explained}: ${percent(probability)}.`;
  status.textContent = `${found} ${caution}`.trimEnd();
}

// Return what to say of a text in an unseen language. An earlier predictor, beside a canary that
// gave this page, does not count the words
function cautionOf({ total, known, unseen } = {}) {
  if (!unseen) return "";
  const words = `The model knows ${known} of the ${many(total, "word")} of this text.`;
  return `${words} It has not learned this language or kind of text: do not rely on the answer.`;
}

// Show the text with each word in its colour, and return the position of each word
function showWords(text, tokens) {
  const characters = Array.from(text); // spans count code points
  const located = [];
  for (const [start, end, share] of tokens) {
    const last = located.at(-1);
    if (last && start < last.end) last.share += share; // İ was two tokens of earlier models
    else located.push({ start, end, share });
  }
  const strongest = located.reduce((most, each) => Math.max(most, Math.abs(each.share)), 0);
  let at = 0;
  words.replaceChildren();
  for (const word of located) {
    word.element = document.createElement("span");
    word.element.textContent = characters.slice(word.start, word.end).join("");
    word.element.title = signed(word.share);
    const level = Math.round((LEVELS * Math.abs(word.share)) / strongest);
    if (level) word.element.className = `${word.share > 0 ? "positive" : "negative"} s${level}`;
    words.append(characters.slice(at, word.start).join(""), word.element);
    at = word.end;
  }
  words.append(characters.slice(at).join(""));
  return located;
}

function row({ ngram, contribution, count, spans }, strongest, located) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.append(markButton(ngram, spans, located));
  const bar = document.createElement("i");
  bar.className = contribution > 0 ? "positive" : "negative";
  bar.style.width = `${(50 * Math.abs(contribution)) / strongest}%`;
  line.append(name, cell("number", count), cell("number", signed(contribution)), cell("bar", bar));
  return line;
}

function cell(kind, content) {
  const element = document.createElement("td");
  element.className = kind;
  element.append(content);
  return element;
}

// Return a button that marks the n-gram in the text
function markButton(ngram, spans, located) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = ngram;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") === "true";
    ngrams.querySelector('[aria-pressed="true"]')?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(!pressed));
    for (const { start, end, element } of located) {
      const inside = spans.some(([from, to]) => from <= start && end <= to);
      element.classList.toggle("found", inside && !pressed);
    }
    words.querySelector(".found")?.scrollIntoView({ block: "nearest" });
  });
  return button;
}
