// Elements made from text only: what comes from names is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

// Text that has not changed is left alone, so that a selection and a screen reader's place in it stay.
export function write(node, text, kind = null) {
  if (node.textContent !== String(text)) node.textContent = text;
  if (kind !== null && node.getAttribute("class") !== kind) node.setAttribute("class", kind);
}

// The children of `parent`: one for each item, made once for each key, in the order of the items.
export function keep(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const name = key(item);
    let child = known.get(name);
    known.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update(child, item);
  });
  for (const child of known.values()) child.remove();
}

const SIGNS = { good: "●", warn: "▲", bad: "✕", quiet: "○" };

const KINDS = {
  running: "good", connected: "good", serving: "good",
  connecting: "warn", stalled: "warn", retrying: "warn",
  failed: "bad", refused: "bad",
  ended: "quiet",
};

export const kindOf = (state) => KINDS[state.toLowerCase()] ?? "warn";

// A state in words with a sign of its own, so that its colour says nothing that is not said twice.
export const signed = (state) => `${SIGNS[kindOf(state)]} ${state.toLowerCase()}`;

export const milliseconds = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
