// Behaviour of pages in addition to htmx: times in the viewer's time zone, the choice of theme, copying, and selecting all of a list.
"use strict";
(function () {
  const root = document.documentElement;

  function apply(theme) {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch (error) { /* storage is blocked: the choice is not kept */ }
  apply(theme);
  root.classList.add("js");

  function showTimes(within) {
    for (const element of within.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (isNaN(at)) continue;
      element.title = element.dateTime;
      element.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) { // without TLS, browsers offer the clipboard to selections only
      const field = document.createElement("textarea");
      field.value = text;
      button.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.classList.add("done");
    document.getElementById("copied").textContent = "Copied: " + text;
    setTimeout(function () { button.classList.remove("done"); }, 1500);
  }

  function boxes(name) {
    return [...document.querySelectorAll("input[name='" + name + "']")];
  }

  function begin() {
    showTimes(document);
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", function () {
        const isDark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        theme = isDark ? "light" : "dark";
        apply(theme);
        try { localStorage.setItem("theme", theme); } catch (error) { /* storage is blocked: the choice lasts until the next page */ }
      });
    }
    document.addEventListener("keydown", function (event) {
      const target = event.key === "Enter" && event.target.dataset && event.target.dataset.enter;
      if (!target) return;
      event.preventDefault();
      document.getElementById(target).click();
    });
    document.addEventListener("click", function (event) {
      const button = event.target.closest("[data-copy]");
      if (button) copy(button);
    });
    document.addEventListener("change", function (event) {
      const all = event.target.dataset.all;
      if (all) for (const box of boxes(all)) box.checked = event.target.checked;
      for (const shown of document.querySelectorAll("[data-selected]"))
        shown.textContent = boxes(shown.dataset.selected).filter((box) => box.checked).length;
    });
    const invalid = document.querySelector("[aria-invalid='true'], #messages .bad");
    if (invalid) invalid.focus();
  }

  document.addEventListener("DOMContentLoaded", begin);
  document.addEventListener("htmx:afterSwap", function (event) { showTimes(document); });
})();
