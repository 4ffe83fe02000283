/**
 * A form whose fields are filters, named as in the API.
 *
 * A field with `data-many` may have several values: the one being typed is in the field, the others are chips in the
 * element with `data-chips="NAME"`. The button with `data-more="NAME"` turns the typed value into a chip.
 *
 * @module
 */

import { make } from './dom.js';
import { fromLocal, toLocal } from './filters.js';

/** @typedef {import('./filters.js').Filters} Filters */
/** @typedef {HTMLInputElement | HTMLSelectElement} Field */

/** ms without a key until typed text is applied. */
const PAUSE = 300;

export class FilterForm {
  #form;
  #onChange;
  /** @type {Filters} */
  #filters = {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLFormElement} form
   * @param {(filters: Filters, typing: string) => unknown} onChange `typing`: the field that is being typed in; empty if
   *   the change is complete.
   */
  constructor(form, onChange) {
    this.#form = form;
    this.#onChange = onChange;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#notify('');
    });
    form.addEventListener('input', ({ target }) => {
      if (!(target instanceof HTMLInputElement) || !isTyped(target)) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#notify(target.name), PAUSE);
    });
    form.addEventListener('change', ({ target }) => {
      if (isField(target)) this.#notify(isTyped(target) ? target.name : '');
    });
    form.addEventListener('click', ({ target }) => {
      const more = target instanceof Element && target.closest('[data-more]');
      if (more instanceof HTMLElement) this.#addChip(more.dataset.more ?? '');
    });
  }

  /** @returns {Field[]} */
  get fields() {
    return [...this.#form.elements].filter(isField).filter(({ name }) => name);
  }

  /** Show filters. @param {Filters} filters */
  show(filters) {
    clearTimeout(this.#timer);
    this.#filters = filters;
    for (const field of this.fields) {
      const values = filters[field.name] ?? [];
      if (isCheckbox(field)) field.checked = isOn(values[0]);
      else if (field.type === 'datetime-local') setValue(field, toLocal(values[0]));
      else if (isMany(field)) {
        // The last value is shown in the field, unless it is empty, as a room may be.
        const typed = values.at(-1) ?? '';
        setValue(field, typed);
        this.#showChips(field.name, typed ? values.slice(0, -1) : values);
      } else setValue(field, values.length === 1 ? values[0] ?? '' : '');
    }
  }

  /**
   * @param {string} name
   * @param {string[]} values
   */
  #showChips(name, values) {
    const chips = values.map((value) => {
      const text = value || 'none';
      const chip = make(
        'button',
        { type: 'button', class: 'chip', 'data-value': value, 'aria-label': `Remove ${name} ${text}` },
        make('span', { class: 'said' }, text),
        make('span', { 'aria-hidden': 'true' }, '×'),
      );
      chip.addEventListener('click', () => {
        chip.remove();
        this.#field(name)?.focus();
        this.#notify('');
      });
      return chip;
    });
    this.#form.querySelector(`[data-chips="${name}"]`)?.replaceChildren(...chips);
  }

  /** @param {string} name */
  #addChip(name) {
    const field = this.#field(name);
    field?.focus();
    if (!field?.value) return;
    this.#showChips(name, [...this.#chips(name), field.value]);
    field.value = '';
    this.#notify('');
  }

  /** @param {string} name */
  #field(name) {
    return this.fields.find((field) => field.name === name);
  }

  /** @param {string} name @returns {string[]} */
  #chips(name) {
    const chips = this.#form.querySelectorAll(`[data-chips="${name}"] > [data-value]`);
    return [...chips].map((chip) => chip.getAttribute('data-value') ?? '');
  }

  /** The fields' values; filters without a field stay as they are. @returns {Filters} */
  #read() {
    const filters = { ...this.#filters };
    for (const field of this.fields) {
      const values = this.#valuesOf(field);
      delete filters[field.name];
      if (values.length) filters[field.name] = values;
    }
    return filters;
  }

  /** @param {Field} field @returns {string[]} */
  #valuesOf(field) {
    const { name, value } = field;
    const before = this.#filters[name] ?? [];
    if (isCheckbox(field)) return field.checked ? ['1'] : [];
    if (field.type === 'datetime-local') {
      // The address may have a finer time than the field can show, or none at all: it stays until the field is changed.
      if (value === toLocal(before[0])) return before;
      return value ? [fromLocal(value)].filter(Boolean) : [];
    }
    if (isMany(field)) return [...new Set([...this.#chips(name), ...(value ? [value] : [])])];
    if (field instanceof HTMLSelectElement && !value && before.length > 1) return before;
    return value ? [value] : [];
  }

  /** @param {string} typing */
  #notify(typing) {
    clearTimeout(this.#timer);
    this.#filters = this.#read();
    this.#onChange(this.#filters, typing);
  }
}

/** @param {unknown} element @returns {element is Field} */
const isField = (element) => element instanceof HTMLInputElement || element instanceof HTMLSelectElement;

/** @param {Field} field @returns {field is HTMLInputElement & { type: 'checkbox' }} */
const isCheckbox = (field) => field.type === 'checkbox';

/** @param {Field} field */
const isTyped = (field) => ['search', 'text', 'number'].includes(field.type);

/** @param {Field} field */
const isMany = (field) => 'many' in field.dataset;

/** Read a flag as the API does. @param {string | undefined} value */
const isOn = (value) => ['1', 'true'].includes((value ?? '').toLowerCase());

/**
 * @param {Field} field
 * @param {string} value
 */
function setValue(field, value) {
  // Setting the value that a field has already would move its cursor.
  if (field.value !== value) field.value = value;
  // The choice for no value is also what the API does by default, as `bucket=hour`.
  if (field instanceof HTMLSelectElement && field.selectedIndex < 0) field.value = '';
}
