// Many reviews: a CSV file in, asked for in batches, and the same file with the answers out.

import { format, parse } from "./csv.js";
import { many } from "./numbers.js";
import { ask } from "./server.js";

const MOST_REVIEWS = 32; // in a request
const MOST_BYTES = 500_000; // of a request; the server takes as many characters
const MOST_MEGABYTES = 100; // of a file
const LIKELY_NAMES = /^(text|review|body|comment|content|sentence|message)s?$/i;
const element = (id) => document.getElementById(id);
const file = element("file");
const choice = element("choice");
const column = element("column");
const sample = element("sample");
const problem = element("batch-problem");
const work = element("work");
const run = element("run");
const download = element("download");
const running = element("running");
const progress = element("progress");
const count = element("count");
const status = element("batch-status");
let table; // the file
let predictions; // so far, in the order of the rows
let versions; // of the model that made them, each with the number of rows before it
let cancel = null; // while it runs

file.addEventListener("change", open);
column.addEventListener("change", begin);
run.addEventListener("click", () => (cancel ? cancel.abort() : weigh()));

async function open() {
  stop();
  const [chosen] = file.files;
  problem.textContent = status.textContent = sample.textContent = "";
  choice.hidden = work.hidden = true;
  if (!chosen) return;
  try {
    const read = parse(await textOf(chosen));
    if (chosen !== file.files[0]) return;
    table = read;
  } catch (error) {
    problem.textContent = error.message;
    return;
  }
  const options = table.header.map((name, i) => new Option(name || `column ${i + 1}`, i));
  column.replaceChildren(...options);
  column.value = likely(table);
  choice.hidden = work.hidden = false;
  begin();
}

async function textOf(chosen) {
  if (chosen.size > 1_000_000 * MOST_MEGABYTES) {
    throw new Error(`This page takes ${MOST_MEGABYTES} MB at most; ask the server itself.`);
  }
  const bytes = await chosen.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("The file is not UTF-8 text. In a spreadsheet, save it as “CSV UTF-8”.");
  }
}

// The column that is called so, or else the one with the most text in it
function likely({ header, rows }) {
  const named = header.findIndex((name) => LIKELY_NAMES.test(name.trim()));
  if (named >= 0) return named;
  const sizes = header.map((_, i) => rows.reduce((sum, row) => sum + row[i].length, 0));
  return sizes.indexOf(Math.max(...sizes));
}

function begin() {
  stop();
  predictions = [];
  versions = [];
  const first = table.rows[0][column.value];
  sample.textContent = `The first one: ${first.length > 200 ? `${first.slice(0, 200)}…` : first}`;
  problem.textContent = status.textContent = "";
  offer();
}

function stop() {
  cancel?.abort();
  cancel = null;
}

// Say what the button will do, and how far it came
function offer() {
  const left = table.rows.length - predictions.length;
  run.textContent = `${predictions.length ? "Go on with" : "Weigh"} ${many(left, "review")}`;
  run.hidden = !left;
  download.hidden = left > 0;
  running.hidden = !predictions.length;
  advance();
}

function advance() {
  progress.max = table.rows.length;
  progress.value = predictions.length;
  count.textContent = `${predictions.length} of ${table.rows.length}`;
}

async function weigh() {
  const mine = (cancel = new AbortController());
  const reviews = table.rows.map((row) => row[column.value].toWellFormed());
  let batch = [];
  problem.textContent = "";
  status.textContent = "Weighing…";
  run.textContent = "Cancel";
  running.hidden = false;
  try {
    while (predictions.length < reviews.length) {
      batch = next(reviews, predictions.length);
      const answer = await ask("predict", batch, undefined, mine.signal);
      mine.signal.throwIfAborted();
      const { version } = answer;
      if (versions.at(-1)?.version !== version) versions.push({ version, at: predictions.length });
      predictions.push(...answer.predictions);
      advance();
    }
    finish();
  } catch (error) {
    if (cancel !== mine) return; // of another file or column
    status.textContent = `Stopped after ${predictions.length} of ${reviews.length}.`;
    if (!mine.signal.aborted) problem.textContent = `${place(batch)}: ${error.message}`;
  }
  cancel = null;
  offer();
}

// As many as fit in a request, and one at least: the server says what is wrong with it
function next(reviews, from) {
  const encoder = new TextEncoder();
  const batch = [];
  let bytes = 100; // of what is around them
  for (const review of reviews.slice(from, from + MOST_REVIEWS)) {
    bytes += encoder.encode(JSON.stringify(review)).length + 1;
    if (batch.length && bytes > MOST_BYTES) break;
    batch.push(review);
  }
  return batch;
}

function place(batch) {
  const [first, last] = [predictions.length + 1, predictions.length + batch.length];
  return first < last ? `Reviews ${first} to ${last}` : `Review ${first}`;
}

function finish() {
  const header = [...table.header];
  for (let name of ["label", "probability"]) {
    while (header.includes(name)) name = `predicted_${name}`;
    header.push(name);
  }
  const rows = table.rows.map((row, i) => {
    const { label, probability } = predictions[i];
    return [...row, label, String(probability)];
  });
  const result = new Blob([format([header, ...rows], table.form)], { type: "text/csv" });
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(result);
  download.download = file.files[0].name.replace(/(\.\w+)?$/, "-sentiment$1");
  const positive = predictions.filter(({ label }) => label === "positive").length;
  const negative = predictions.length - positive;
  status.textContent = `Done: ${positive} positive, ${negative} negative.${changed()}`;
  download.hidden = false;
  if (document.activeElement === run) download.focus();
}

// One file by two versions is no harm, but nobody should have to guess it
function changed() {
  if (versions.length < 2) return "";
  const names = [...new Set(versions.map(({ version }) => version))];
  const from = versions[1].at + 1;
  return ` The model changed at review ${from}: versions ${names.join(" and ")} answered.`;
}
