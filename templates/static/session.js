// Warns before a session ends that nobody has used for a while, and asks whether
// to go on. Without this script the session ends all the same; the next click
// leads to the login page.
(function () {
  "use strict";

  var dialog = document.getElementById("session-warning");
  if (!dialog || !dialog.showModal) {
    return;
  }
  var idle = dialog.dataset.idle * 1000;
  var before = Math.min(dialog.dataset.before * 1000, idle / 2);
  var used, timer;
  // What is done in another window counts for this one.
  var others = window.BroadcastChannel ? new BroadcastChannel("session") : null;

  function use() {
    used = Date.now();
    if (dialog.open) {
      dialog.close();
    }
    look();
  }

  // look compares with the clock: timers stand still while a computer sleeps.
  function look() {
    clearTimeout(timer);
    var left = used + idle - Date.now();
    if (left <= 0) {
      // The provider decides whether it is over; if so, its login page covers
      // what was on the screen.
      location.replace(location.pathname);
      return;
    }
    if (left <= before && !dialog.open) {
      dialog.showModal();
    }
    timer = setTimeout(look, left <= before ? left : left - before);
  }

  function stay() {
    fetch("/session", { redirect: "manual", cache: "no-store" }).then(function (answer) {
      if (answer.status !== 204) {
        throw answer;
      }
      use();
      if (others) {
        others.postMessage("used");
      }
    }).catch(function () { location.replace(location.pathname); });
  }

  document.getElementById("session-continue").addEventListener("click", stay);
  dialog.addEventListener("cancel", function (event) {
    event.preventDefault();
    stay();
  });
  document.addEventListener("visibilitychange", function () { if (!document.hidden) { look(); } });
  window.addEventListener("pageshow", function (event) { if (event.persisted) { look(); } });
  if (others) {
    others.addEventListener("message", use);
    others.postMessage("used");
  }
  use();
})();
