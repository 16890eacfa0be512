// The desk is complete without this script, by its link "refresh". It counts the
// seconds of the codes down, and fetches new codes and new letters.
(function () {
  "use strict";
  var loaded = performance.now();
  var fetched = loaded;

  function tick() {
    var over = false;
    document.querySelectorAll("[data-left]").forEach(function (e) {
      var left = Math.ceil(Number(e.dataset.left) - (performance.now() - loaded) / 1000);
      over = over || left <= 0;
      e.textContent = e.dataset.text.replace("{n}", String(Math.max(left, 0)));
    });
    if ((over || performance.now() - fetched > 3000) && !document.hidden) {
      fetched = performance.now();
      refresh();
    }
  }

  function refresh() {
    fetch("/", { headers: { Accept: "text/html" } }).then(function (answer) {
      return answer.ok ? answer.text() : Promise.reject(answer.status);
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html");
      loaded = performance.now();
      replaceChanged(fresh.getElementById("accounts"), document.getElementById("accounts"));
      addLetters(fresh.getElementById("letters"), document.getElementById("letters"));
    }).catch(function () { /* the demo has stopped, or comes back: the next time tells */ });
  }

  // Codes change in place, so that a button keeps its focus.
  function replaceChanged(from, to) {
    if (!from || !to) { return; }
    var was = to.querySelectorAll(".live, .left"), is = from.querySelectorAll(".live, .left");
    if (was.length !== is.length || to.querySelectorAll("input").length !== from.querySelectorAll("input").length) {
      to.replaceWith(from);
      return;
    }
    is.forEach(function (e, i) {
      if (e.dataset.left) { was[i].dataset.left = e.dataset.left; return; }
      if (was[i].textContent !== e.textContent) { was[i].textContent = e.textContent; }
    });
  }

  // Letters that are open stay open.
  function addLetters(from, to) {
    if (!from || !to || from.querySelectorAll("pre").length === to.querySelectorAll("pre").length) { return; }
    to.querySelectorAll("details[open] pre").forEach(function (e) {
      var same = from.querySelector("#" + e.id);
      if (same) { same.closest("details").open = true; }
    });
    to.replaceWith(from);
  }

  setInterval(tick, 1000);
})();
