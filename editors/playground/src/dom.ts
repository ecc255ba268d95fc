/** Elements by one call; text is always text. */

export function byId<Element extends HTMLElement = HTMLElement>(id: string): Element {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no #${id}`);
  }
  return found as Element;
}

type Attributes = Readonly<Record<string, string | number>>;
type Content = Node | string;

export function html(name: string, attributes: Attributes, ...content: Content[]): HTMLElement {
  return filled(document.createElement(name), attributes, content);
}

export function svg(name: string, attributes: Attributes, ...content: Content[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  return filled(element, attributes, content);
}

function filled<Made extends Element>(
  made: Made,
  attributes: Attributes,
  content: Content[],
): Made {
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  made.append(...content);
  return made;
}

/** 0.123 as "12 %", and what is less than one in a hundred as "0.4 %". */
export function percent(share: number): string {
  const value = share * 100;
  return `${value < 1 ? value.toPrecision(1) : Math.round(value)} %`;
}

/** Blanks that would not be seen are. */
export function visible(text: string): string {
  return text
    .replaceAll(" ", "·")
    .replaceAll("\t", "⇥")
    .replaceAll("\r", "␍")
    .replaceAll("\n", "⏎");
}
