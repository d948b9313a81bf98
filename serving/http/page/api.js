// The server's API: the key, one call, a stream of events. Paths are relative, so that the page works behind a path prefix too.

const NAME = "synthseg-key";

/** The API key, in this tab's session storage only. */
export const apiKey = {
  get: () => sessionStorage.getItem(NAME) ?? "",
  set: (value) => (value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME)),
};

/** What went wrong, as the server says it. `status` is 0 when there was no answer at all. */
export class ApiProblem extends Error {
  constructor(status, { message, type, param, code } = {}, retryAfterS = null, requestId = "") {
    super(message || `The server answered ${status}.`);
    Object.assign(this, { status, type, param, code, retryAfterS, requestId });
  }
}

/** The response of `path`; an ApiProblem for whatever is not a success. */
export async function call(path, { method = "GET", body, signal, headers = {}, key = apiKey.get() } = {}) {
  const sent = new Headers(headers); // throws TypeError for a key that no header can carry
  if (key) sent.set("Authorization", `Bearer ${key}`);
  if (body !== undefined) sent.set("Content-Type", "application/json");
  let response;
  try {
    response = await fetch(path, { method, signal, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiProblem(0, { message: "The server does not answer." });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  const wait = Number.parseFloat(response.headers.get("retry-after"));
  throw new ApiProblem(response.status, answer.error, Number.isFinite(wait) ? wait : null, response.headers.get("x-request-id") ?? "");
}

/** The JSON that `path` answers. */
export const json = async (path, options) => (await call(path, options)).json();

/** Server-sent events of `path` as {type, data}, until the server ends the stream. EventSource cannot send a key or a body. */
export async function* events(path, options = {}) {
  const response = await call(path, { ...options, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await read(reader);
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    // Leaving early closes the connection, and the server frees the slot.
    reader.cancel().catch(() => {});
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiProblem(0, { message: "The connection broke before the answer was whole." });
  }
}

/** The status that an error inside a stream would have had; its line was sent long before. */
function statusOf({ type, code }) {
  return { overloaded: 429, rate_limit_exceeded: 429, engine_unavailable: 503, deadline_exceeded: 504 }[code] ?? (type === "invalid_request_error" ? 400 : 500);
}

function parse(block) {
  let type = "";
  const lines = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) lines.push(line.slice(5).replace(/^ /, ""));
  }
  if (!lines.length || lines[0] === "[DONE]") return null;
  const data = JSON.parse(lines.join("\n"));
  if (type === "error") throw new ApiProblem(statusOf(data.error), data.error);
  return { type: type || data.type || "", data };
}

/** An object URL for base64 bytes; whoever takes it revokes it. */
export function objectUrl(base64, mime) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return URL.createObjectURL(new Blob([bytes], { type: mime }));
}
