/**
 * Helpers for the document: find and make elements, and change only what differs.
 *
 * Data from the hub is put into text and attributes, never into markup.
 *
 * @module
 */

/** `true` sets an empty attribute; `false`, null and undefined remove it. @typedef {string | number | boolean | null | undefined} Value */
/** @typedef {Record<string, Value>} Attributes */

/**
 * The element with this id.
 *
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!found || !(found instanceof (kind ?? HTMLElement))) throw new Error(`The page has no such element #${id}.`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/**
 * Make an HTML element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const make = (tag, attributes, ...children) => complete(document.createElement(tag), attributes, children);

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an SVG element.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export const makeSvg = (tag, attributes, ...children) =>
  complete(/** @type {SVGElementTagNameMap[Tag]} */ (document.createElementNS(SVG, tag)), attributes, children);

/**
 * @template {Element} T
 * @param {T} element
 * @param {Attributes | undefined} attributes
 * @param {(Node | string)[]} children
 */
function complete(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {Value} value
 */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make these elements the children of `parent`, in this order, without moving those that are in place.
 *
 * @param {Element} parent
 * @param {readonly Element[]} elements
 */
export function setChildren(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}
