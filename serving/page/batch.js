// Many reviews: read a CSV file, request predictions in batches, return the file with them.

import { format, parse } from "./csv.js";
import { many } from "./numbers.js";
import { ask } from "./server.js";

const MAX_REVIEWS = 32; // of a request
const MAX_BYTES = 500_000; // of a request; the server accepts as many characters
const MAX_MEGABYTES = 100; // of a file
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
let table; // the parsed file
let predictions; // so far, in the order of the rows
let versions; // each model version that answered, with the number of rows before its first
let cancel = null; // an AbortController while requests run

file.addEventListener("change", open);
column.addEventListener("change", reset);
run.addEventListener("click", () => (cancel ? cancel.abort() : classify()));

async function open() {
  stop();
  const [selected] = file.files;
  problem.textContent = status.textContent = sample.textContent = "";
  choice.hidden = work.hidden = true;
  if (!selected) return;
  try {
    const parsed = parse(await readText(selected));
    if (selected !== file.files[0]) return;
    table = parsed;
  } catch (error) {
    problem.textContent = error.message;
    return;
  }
  const options = table.header.map((name, i) => new Option(name || `column ${i + 1}`, i));
  column.replaceChildren(...options);
  column.value = likelyColumn(table);
  choice.hidden = work.hidden = false;
  reset();
}

async function readText(selected) {
  if (selected.size > 1_000_000 * MAX_MEGABYTES) {
    throw new Error(`The file has more than ${MAX_MEGABYTES} MB; use the server's API instead.`);
  }
  const bytes = await selected.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("The file is not UTF-8 text. In a spreadsheet, save it as “CSV UTF-8”.");
  }
}

// Return the index of the first column with a likely name, or else of the one with most text
function likelyColumn({ header, rows }) {
  const index = header.findIndex((name) => LIKELY_NAMES.test(name.trim()));
  if (index >= 0) return index;
  const sizes = header.map((_, i) => rows.reduce((sum, row) => sum + row[i].length, 0));
  return sizes.indexOf(Math.max(...sizes));
}

function reset() {
  stop();
  predictions = [];
  versions = [];
  const first = table.rows[0][column.value];
  const start = first.length > 200 ? `${first.slice(0, 200)}…` : first;
  sample.textContent = `The first review: ${start}`;
  problem.textContent = status.textContent = "";
  showState();
}

function stop() {
  cancel?.abort();
  cancel = null;
}

// Show what the button does, and the progress
function showState() {
  const left = table.rows.length - predictions.length;
  run.textContent = `${predictions.length ? "Continue with" : "Classify"} ${many(left, "review")}`;
  run.hidden = !left;
  download.hidden = left > 0;
  running.hidden = !predictions.length;
  showProgress();
}

function showProgress() {
  progress.max = table.rows.length;
  progress.value = predictions.length;
  count.textContent = `${predictions.length} of ${table.rows.length}`;
}

async function classify() {
  const mine = (cancel = new AbortController());
  const reviews = table.rows.map((row) => row[column.value].toWellFormed());
  let batch = [];
  problem.textContent = "";
  status.textContent = "Classifying…";
  run.textContent = "Cancel";
  running.hidden = false;
  try {
    while (predictions.length < reviews.length) {
      batch = nextBatch(reviews, predictions.length);
      const answer = await ask("predict", batch, undefined, mine.signal);
      mine.signal.throwIfAborted();
      const { version } = answer;
      if (versions.at(-1)?.version !== version) versions.push({ version, at: predictions.length });
      predictions.push(...answer.predictions);
      showProgress();
    }
    finish();
  } catch (error) {
    if (cancel !== mine) return; // another file or column is selected now
    status.textContent = `Stopped after ${predictions.length} of ${reviews.length}.`;
    if (!mine.signal.aborted) problem.textContent = `${rangeOf(batch)}: ${error.message}`;
  }
  cancel = null;
  showState();
}

// Return as many reviews as fit in a request; at least one, which the server may refuse
function nextBatch(reviews, from) {
  const encoder = new TextEncoder();
  const batch = [];
  let bytes = 100; // of the JSON around the reviews
  for (const review of reviews.slice(from, from + MAX_REVIEWS)) {
    bytes += encoder.encode(JSON.stringify(review)).length + 1;
    if (batch.length && bytes > MAX_BYTES) break;
    batch.push(review);
  }
  return batch;
}

function rangeOf(batch) {
  const [first, last] = [predictions.length + 1, predictions.length + batch.length];
  return first < last ? `Reviews ${first} to ${last}` : `Review ${first}`;
}

function finish() {
  const header = [...table.header];
  // the model may change within a file, and with it the classes
  const classes = [...new Set(predictions.flatMap((each) => Object.keys(each.probabilities)))];
  const two = predictions.every((each) => "probability" in each);
  const shown = two ? ["probability"] : classes.map((name) => `probability_${name}`);
  for (let name of ["label", ...shown]) {
    while (header.includes(name)) name = `predicted_${name}`;
    header.push(name);
  }
  const rows = table.rows.map((row, i) => {
    const { label, probability, probabilities } = predictions[i];
    const values = two ? [probability] : classes.map((name) => probabilities[name] ?? "");
    return [...row, label, ...values.map(String)];
  });
  const result = new Blob([format([header, ...rows], table.form)], { type: "text/csv" });
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(result);
  download.download = file.files[0].name.replace(/(\.\w+)?$/, "-sentiment$1");
  const counts = classes
    .map((name) => `${predictions.filter(({ label }) => label === name).length} ${name}`)
    .reverse();
  status.textContent = `Done: ${counts.join(", ")}.${versionNote()}`;
  download.hidden = false;
  if (document.activeElement === run) download.focus();
}

// Tell the user if two model versions answered for one file
function versionNote() {
  if (versions.length < 2) return "";
  const names = [...new Set(versions.map(({ version }) => version))];
  const from = versions[1].at + 1;
  return ` The model changed at review ${from}: versions ${names.join(" and ")} answered.`;
}
