// Requests to the server's v1 protocol. The footer shows the model that answered.

let model;

export async function ask(verb, instances, parameters, signal) {
  model ??= await servedModel();
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

async function servedModel() {
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
