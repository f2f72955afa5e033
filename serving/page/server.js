// Requests to the server's v1 protocol. The footer shows the model that answered.

let served; // a promise of the model's name, and whether the server takes feedback of it

export async function ask(verb, instances, parameters, signal) {
  const { name } = await describe();
  const response = await post(name, verb, { instances, parameters }, signal);
  const version = response.headers.get("x-model-version");
  document.getElementById("model").textContent = `Model ${name}, version ${version}.`;
  return { version, id: response.headers.get("x-request-id"), ...(await response.json()) };
}

export async function takesFeedback() {
  return (await describe()).feedback;
}

// Tell the server the right class of the first review of an earlier request
export async function sendFeedback(id, label) {
  const { name } = await describe();
  await post(name, "feedback", { feedback: [{ id, index: 0, label, by: "page" }] });
}

function describe() {
  served ??= servedModel().catch((error) => {
    served = null; // ask again with the next request
    throw error;
  });
  return served;
}

async function servedModel() {
  const { models } = await (await send("v1/models")).json();
  if (!models.length) throw new Error("The server has no model at the moment.");
  const [name] = models;
  return { name, feedback: await hasFeedback(name) };
}

async function hasFeedback(name) {
  try {
    const { parameters } = await (await send(`v2/models/${encodeURIComponent(name)}`)).json();
    return parameters?.feedback === true; // earlier predictors do not say
  } catch {
    return false; // a gateway may pass v1 alone, which is all that the rest of the page needs
  }
}

function post(name, verb, body, signal) {
  return send(`v1/models/${encodeURIComponent(name)}:${verb}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

async function send(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server is unreachable.");
  }
  if (!response.ok) throw new Error(await reasonOf(response));
  return response;
}

async function reasonOf(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    if (error) return `The server says: ${error}`;
  } catch {} // no JSON: the response of a proxy, not of the predictor
  return `The server answered with status ${response.status}.`;
}
