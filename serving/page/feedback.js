// Ask whether the answer was right, and send the right class to the server, once for each answer.

import { sendFeedback } from "./server.js";

const element = (id) => document.getElementById(id);
const group = element("feedback");
const yes = element("yes");
const no = element("no");
const others = element("others");
const status = element("feedback-status");
const problem = element("feedback-problem");
let shown = {}; // the prediction that is asked about: id, label, classes, sent

yes.addEventListener("click", () => send(shown, shown.label, yes));
no.addEventListener("click", () => {
  const rest = otherClasses();
  if (rest.length === 1) send(shown, rest[0], no);
  else if (!shown.sent) showOthers(others.hidden);
});

// Ask about a prediction, or show nothing without the id of its request
export function askAbout(id, label, classes) {
  shown = { id, label, classes, sent: false };
  const rest = otherClasses();
  group.hidden = !id;
  status.textContent = problem.textContent = "";
  others.replaceChildren(...rest.map(choice));
  showOthers(false);
  no.textContent = rest.length === 1 ? `No, it is ${rest[0]}` : "No";
  if (rest.length === 1) no.removeAttribute("aria-expanded"); // there is nothing to choose
  markButtons(null, false);
}

function otherClasses() {
  return shown.classes.filter((name) => name !== shown.label);
}

function choice(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => send(shown, name, button));
  return button;
}

function showOthers(open) {
  others.hidden = !open;
  no.setAttribute("aria-expanded", String(open));
}

// The buttons stay, and keep the focus; `disabled` would take it from them
async function send(about, label, pressed) {
  if (about.sent) return;
  about.sent = true;
  status.textContent = problem.textContent = "";
  markButtons(pressed, true);
  try {
    await sendFeedback(about.id, label);
    if (about === shown) status.textContent = `Thank you, noted: ${label}.`;
  } catch (error) {
    if (about !== shown) return; // another answer is shown by now
    about.sent = false;
    markButtons(null, false);
    problem.textContent = error.message;
  }
}

function markButtons(chosen, disabled) {
  for (const button of group.querySelectorAll("button")) {
    button.classList.toggle("chosen", button === chosen);
    button.setAttribute("aria-disabled", String(disabled));
  }
}
