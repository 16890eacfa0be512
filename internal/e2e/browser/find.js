(what, [selector, value]) => {
  const seen = e => e.getClientRects().length > 0 && e.checkVisibility({ visibilityProperty: true });
  const words = e => (e.innerText || e.getAttribute("aria-label") || e.value || "").replace(/\s+/g, " ").trim();
  const all = selector.startsWith("=")
    ? [...document.querySelectorAll("a, button, summary, label, input[type=submit]")]
        .filter(e => words(e) === selector.slice(1)).map(e => e.control ?? e)
    : [...document.querySelectorAll(selector)];
  const e = all.find(seen);
  if (what === "has") return { value: e !== undefined };
  if (!e) return { wrong: all.length ? "it is there, but not visible" : "nothing matches" };
  if (what === "text") return { value: /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName) ? e.value : e.innerText.trim() };
  if (what === "box") {
    const { x, y, width, height } = e.getBoundingClientRect();
    return { value: { x: x + scrollX, y: y + scrollY, width, height } };
  }
  if (e.disabled) return { wrong: "it is disabled" };
  if (what === "spot") {
    e.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const { x, y, width, height } = e.getClientRects()[0];
    const spot = { x: x + width / 2, y: y + height / 2 };
    const hit = document.elementFromPoint(spot.x, spot.y);
    if (hit && (e.contains(hit) || hit.closest("label")?.control === e)) return { value: spot };
    return { wrong: "it is covered by " + (hit ? hit.outerHTML.slice(0, 200) : "nothing: outside the page") };
  }
  e.focus();
  if (document.activeElement !== e) return { wrong: "it takes no focus" };
  if (what === "focus") return { value: true };
  // clear: a select is set here; a field is emptied for the text to come
  if (e.readOnly) return { wrong: "it is read-only" };
  if (e.tagName !== "SELECT") {
    e.value = "";
    return { value: false };
  }
  e.value = value;
  if (e.value !== value) return { wrong: "it has no such option" };
  e.dispatchEvent(new Event("input", { bubbles: true }));
  e.dispatchEvent(new Event("change", { bubbles: true }));
  return { value: true };
}
