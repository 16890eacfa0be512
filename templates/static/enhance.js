// Every page is complete without this script. It adds a button that shows a
// typed password, and keeps a second click from sending a form twice.
(function () {
  "use strict";

  document.querySelectorAll("input[type=password][data-show]").forEach(function (input) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "plain reveal";
    button.setAttribute("aria-controls", input.id);
    button.textContent = input.dataset.show;
    button.addEventListener("click", function () {
      var hidden = input.type === "password";
      input.type = hidden ? "text" : "password";
      button.textContent = hidden ? input.dataset.hide : input.dataset.show;
    });
    input.after(button);
    if (input.form) {
      input.form.addEventListener("submit", function () { input.type = "password"; });
    }
  });

  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    if (event.submitter) {
      event.submitter.setAttribute("aria-disabled", "true");
    }
    // An answer that is no page, such as the browser's own error page after a
    // card handshake, must leave the form usable.
    setTimeout(function () { release(form); }, 8000);
  });

  function release(form) {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-disabled]").forEach(function (b) { b.removeAttribute("aria-disabled"); });
  }

  // Back from the cache of the browser: forms can be sent again.
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form").forEach(release);
  });
})();
