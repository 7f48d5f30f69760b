// Checks of a page, evaluated in the browser. Contrast as in WCAG 2.2, success criteria 1.4.3 and 1.4.11.
(() => {
  const channels = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const luminance = (rgb) =>
    rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (first, second) => {
    const [light, dark] = [luminance(first), luminance(second)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const background = (element) => {
    for (let node = element; node; node = node.parentElement) {
      const { rgb, alpha } = channels(getComputedStyle(node).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const label = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}`;

  for (const details of document.querySelectorAll("details")) details.open = true;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const lowContrast = [];
  let count = 0;
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (!text || ["SCRIPT", "STYLE", "TITLE"].includes(element.tagName.toUpperCase())) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden" || style.display === "none") continue;
    count += 1;
    const colour = channels(element instanceof SVGElement ? style.fill : style.color).rgb;
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(colour, background(element));
    if (ratio < (isLarge ? 3 : 4.5)) lowContrast.push({ text, element: label(element), ratio });
  }
  const shapes = [...document.querySelectorAll("svg path, svg .mark line")];
  for (const shape of shapes) {
    const ratio = contrast(channels(getComputedStyle(shape).stroke).rgb, background(shape));
    if (ratio < 3) lowContrast.push({ text: "line", element: label(shape), ratio });
  }
  const inScroller = (element) => element.closest(".scroll") !== null;
  const overflowing = [...document.querySelectorAll("main *")]
    .filter((element) => !inScroller(element) && element.getBoundingClientRect().right > innerWidth + 0.5)
    .map(label);
  const unnamed = [...document.querySelectorAll('[role="img"], [role="region"]')]
    .filter((element) => !element.getAttribute("aria-label")?.trim())
    .concat([...document.querySelectorAll("svg:not([role]):not([aria-hidden])")])
    .map((element) => element.tagName.toLowerCase());
  return {
    texts: count,
    page_width: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
    overflowing: [...new Set(overflowing)],
    low_contrast: lowContrast,
    unnamed,
    is_dark: luminance(background(document.body)) < 0.2,
  };
})();
