// The server's v1 protocol, as the page uses it. The footer says which model it was.

let model;

export async function ask(verb, instances, parameters, signal) {
  model ??= await served();
  const response = await send(`v1/models/${encodeURIComponent(model)}:${verb}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ instances, parameters }),
    signal,
  });
  const version = response.headers.get("x-model-version");
  document.getElementById("model").textContent = `Model ${model}, version ${version}.`;
  return { version, ...(await response.json()) };
}

async function served() {
  const { models } = await (await send("v1/models")).json();
  if (!models.length) throw new Error("The server has no model at the moment.");
  return models[0];
}

async function send(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  if (!response.ok) throw new Error(await reason(response));
  return response;
}

async function reason(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    if (error) return `The server says: ${error}`;
  } catch {} // not from the predictor, but from what is in front of it
  return `The server answered with status ${response.status}.`;
}
