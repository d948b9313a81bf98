// The API reference: /openapi.json as a page. Written here because the usual viewers come from another host, which our policy forbids.

import { json } from "./api.js";
import { byId, copy, iconButton, make } from "./dom.js";

const METHODS = ["get", "post", "delete"];
const DEEPEST = 3;
let schemas = {};

/** Text with `code` between backticks. */
function prose(text) {
  return make("span", {}, ...text.split("`").map((part, i) => (i % 2 ? make("code", { text: part }) : part)));
}

/** The schema behind a $ref, and without the null of an optional field. */
function resolve(schema) {
  if (schema?.$ref) return resolve({ ...schemas[schema.$ref.split("/").pop()], ...without(schema, "$ref") });
  const choices = schema?.anyOf?.filter((choice) => choice.type !== "null");
  return choices?.length === 1 ? resolve({ ...choices[0], ...without(schema, "anyOf") }) : (schema ?? {});
}

const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));

/** What may stand there, in words: "whole number, 1 to 10". */
function kind(given) {
  const schema = resolve(given);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  const words = { integer: "whole number", number: "number", string: "text", boolean: "true or false", object: "object" }[schema.type] ?? "anything";
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low !== undefined && high !== undefined) return `${words}, ${low} to ${high}${schema.exclusiveMaximum !== undefined ? " (not included)" : ""}`;
  if (schema.maxLength !== undefined) return `${words}, at most ${schema.maxLength} characters`;
  return schema.format === "binary" ? "bytes" : words;
}

/** Rows of the fields of an object, those of nested objects behind a click. */
function fields(given, depth = 0) {
  const schema = resolve(given);
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const own = resolve(property);
    const nested = own.type === "array" ? resolve(own.items) : own;
    const fallback = own.default ?? null;
    return make(
      "div",
      { class: "entry" },
      make("div", {}, make("code", { text: name }), required.has(name) && make("em", { text: "required" })),
      make(
        "div",
        {},
        make("small", { text: kind(property) + (fallback === null ? "" : `; ${JSON.stringify(fallback)} when left out`) }),
        own.description && make("p", {}, prose(own.description)),
        nested.properties && depth < DEEPEST && make("details", {}, make("summary", { text: "its fields" }), fields(nested, depth + 1)),
      ),
    );
  });
  return make("div", { class: "entries" }, ...rows);
}

function parameters(operation) {
  const found = operation.parameters ?? [];
  if (!found.length) return null;
  const properties = Object.fromEntries(found.map((parameter) => [parameter.name, { ...parameter.schema, description: parameter.description }]));
  const required = found.filter((parameter) => parameter.required).map((parameter) => parameter.name);
  return make("div", {}, make("h3", { text: "Parameters" }), fields({ properties, required }));
}

function body(operation) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  return schema ? make("div", {}, make("h3", { text: "Body" }), fields(schema)) : null;
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const types = Object.keys(answer.content ?? {});
    const schema = resolve(answer.content?.["application/json"]?.schema);
    const shown = Number(status) < 400 && Object.keys(schema.properties ?? {}).length > 0;
    return make(
      "div",
      { class: "entry" },
      make("div", {}, make("code", { class: Number(status) < 400 ? "good" : "bad", text: status })),
      make(
        "div",
        {},
        make("p", {}, prose(answer.description ?? "")),
        Number(status) < 400 && types.length > 0 && make("small", { text: types.join(", ") }),
        shown && make("details", {}, make("summary", { text: "its fields" }), fields(schema)),
      ),
    );
  });
  return make("div", {}, make("h3", { text: "Answers" }), make("div", { class: "entries" }, ...rows));
}

/** A value that `schema` accepts, for the example. */
function example(given) {
  const schema = resolve(given);
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return example(schema.anyOf[0]);
  if (schema.type === "array") return [example(schema.items)];
  if (schema.type === "object" || schema.properties) {
    const required = new Set(schema.required ?? []);
    return Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([name]) => required.has(name)).map(([name, property]) => [name, example(property)]));
  }
  return { integer: schema.minimum ?? 1, number: 1, boolean: true, string: "a cat" }[schema.type] ?? null;
}

function curl(method, path, operation) {
  const words = ["curl", new URL(path.slice(1), document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}")];
  if (method !== "get") words.splice(1, 0, "-X", method.toUpperCase());
  if (operation.security) words.push('-H "Authorization: Bearer $SYNTHSEG_API_KEY"');
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (schema) words.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(example(schema))}'`);
  return words.join(" ");
}

function section(method, path, operation) {
  const command = iconButton("copy", "Copy as curl", () => copy(command, curl(method, path, operation)));
  return make(
    "article",
    { class: "panel operation", id: anchor(method, path) },
    make("header", {}, make("h2", {}, make("span", { class: `method ${method}`, text: method.toUpperCase() }), make("code", { text: path })), command),
    make("p", { class: "lead" }, make("b", { text: operation.summary ?? "" }), operation.description ? make("span", {}, " ", prose(operation.description)) : null),
    parameters(operation),
    body(operation),
    answers(operation),
  );
}

const anchor = (method, path) => `${method}${path.replace(/[^a-z0-9]+/gi, "-")}`;

async function show() {
  byId("base").textContent = new URL("v1", document.baseURI).href;
  try {
    const document_ = await json("openapi.json", { key: "" });
    schemas = document_.components?.schemas ?? {};
    byId("version").textContent = `API · version ${document_.info.version}`;
    const groups = new Map();
    for (const [path, operations] of Object.entries(document_.paths)) {
      for (const method of METHODS) {
        const operation = operations[method];
        if (!operation) continue;
        const tag = operation.tags?.[0] ?? "other";
        groups.set(tag, [...(groups.get(tag) ?? []), [method, path, operation]]);
      }
    }
    byId("contents").replaceChildren();
    byId("operations").replaceChildren();
    for (const [tag, operations] of groups) {
      byId("contents").append(make("h3", { text: tag }));
      for (const [method, path, operation] of operations) {
        byId("contents").append(make("a", { href: `#${anchor(method, path)}`, title: operation.summary }, make("span", { class: `method ${method}`, text: method.toUpperCase() }), make("code", { text: path })));
        byId("operations").append(section(method, path, operation));
      }
    }
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (problem) {
    byId("operations").replaceChildren(make("p", { class: "absent", role: "alert", text: `${problem.message} Load the page again to try once more.` }));
  }
}

show();
