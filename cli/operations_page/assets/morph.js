// Changes an element to equal another one, and nothing that is equal already: focus, scrolling, selection and
// opened details stay as they are.

export function morph(target, source) {
  for (const { name } of [...target.attributes]) {
    const isOpened = name === "open" && target.nodeName === "DETAILS";
    if (!source.hasAttribute(name) && !isOpened) target.removeAttribute(name);
  }
  for (const { name, value } of source.attributes) {
    if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  }
  morphChildren(target, source);
}

export function morphChildren(target, source) {
  const wanted = [...source.childNodes];
  wanted.forEach((child, index) => {
    const present = target.childNodes[index];
    if (!present) target.append(child);
    else if (present.nodeName !== child.nodeName) present.replaceWith(child);
    else if (child.nodeType === Node.ELEMENT_NODE) morph(present, child);
    else if (present.data !== child.data) present.data = child.data;
  });
  while (target.childNodes.length > wanted.length) target.lastChild.remove();
}

// Shows HTML of the server, in which all text is escaped; the Content-Security-Policy forbids scripts in it.
export function show(element, html) {
  morphChildren(element, new DOMParser().parseFromString(html, "text/html").body);
}
