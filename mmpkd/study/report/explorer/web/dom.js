"use strict";
/* Helpers for elements, and for numbers as text. */
const Dom = (() => {
  const $ = (id) => document.getElementById(id);

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  /* a cell is text or a node, or [text or node, class] */
  const cell = (tag, value, scope) => {
    const [content, className] = Array.isArray(value) ? value : [value, ""];
    const made = element(tag, className ? { className } : {}, content);
    if (scope) made.scope = scope;
    return made;
  };
  const row = (values, className = "") => {
    const [first, ...rest] = values;
    return element("tr", { className }, cell("th", first, "row"), ...rest.map((value) => cell("td", value)));
  };
  const fillTable = (table, head, rows) => {
    const top = element("tr", {}, ...head.map((value) => cell("th", value, "col")));
    table.replaceChildren(table.caption, element("thead", {}, top), element("tbody", {}, ...rows));
  };

  const percent = (value) => `${(100 * value).toFixed(1).replace(/\.0$/, "")} %`;
  const number = (value) => (Number.isNaN(value) ? "–" : value.toFixed(3));
  const signed = (value) => (Number.isNaN(value) ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`);
  const change = (value) => [signed(value), value > 5e-4 ? "up" : value < -5e-4 ? "down" : ""];
  const word = (name) => name.replace(/_/g, " ");
  const count = (value) => value.toLocaleString("en");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  return { $, element, row, fillTable, percent, number, signed, change, word, count, css };
})();
