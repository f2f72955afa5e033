// Parse and format CSV (RFC 4180), also with a spreadsheet's semicolons, tabs and newlines.

import { many } from "./numbers.js";

const BYTE_ORDER_MARK = "\ufeff";

export function parse(text) {
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : "";
  const body = text.slice(mark.length);
  const delimiter = delimiterOf(body);
  const { rows, lines, newline, open } = records(body, delimiter);
  if (open) throw new Error(`The quotation mark in line ${open} is never closed.`);
  const [header, ...rest] = rows;
  if (!rest.length) throw new Error("The file has no row below the one that names the columns.");
  const odd = rows.findIndex((row) => row.length !== header.length);
  if (odd > 0) {
    const [fields, columns] = [many(rows[odd].length, "field"), many(header.length, "column")];
    throw new Error(`Line ${lines[odd]} has ${fields}, and the first row names ${columns}.`);
  }
  return { header, rows: rest, form: { mark, delimiter, newline } };
}

export function format(rows, { mark, delimiter, newline }) {
  const quoted = (field) =>
    /["\r\n]/.test(field) || field.includes(delimiter) ? `"${field.replaceAll('"', '""')}"` : field;
  return mark + rows.map((row) => row.map(quoted).join(delimiter) + newline).join("");
}

// Return the delimiter that splits the first row into the most fields
function delimiterOf(text) {
  const fields = (delimiter) => records(text, delimiter, 1).rows[0]?.length ?? 0;
  return [",", ";", "\t"].reduce((best, each) => (fields(each) > fields(best) ? each : best));
}

// Skip blank lines. `lines` has the first line of each row, `open` the line of an unclosed quote
function records(text, delimiter, limit = Infinity) {
  const rows = [];
  const lines = [];
  let row = [];
  let field = "";
  let newline = "";
  let line = 1;
  let began = 1;
  let open = 0;
  let quoted = false; // an empty quoted field is still a row

  const endField = () => {
    row.push(field);
    field = "";
  };
  const endRow = () => {
    endField();
    if (row.length > 1 || row[0] || quoted) {
      rows.push(row);
      lines.push(began);
    }
    row = [];
    quoted = false;
    began = line;
  };
  for (let i = 0; i < text.length && rows.length < limit; i++) {
    const character = text[i];
    const pair = character === "\r" && text[i + 1] === "\n";
    const ends = pair || character === "\r" || character === "\n";
    if (ends) line += 1;
    if (pair) i += 1;
    if (open && character === '"' && text[i + 1] === '"') field += text[++i];
    else if (open && character === '"') open = 0;
    else if (open) field += pair ? "\r\n" : character;
    else if (ends) {
      newline ||= pair ? "\r\n" : character;
      endRow();
    } else if (character === delimiter) endField();
    else if (character === '"' && !field) {
      open = line;
      quoted = true;
    } else field += character;
  }
  if (row.length || field || quoted) endRow();
  return { rows, lines, newline: newline || "\n", open };
}
