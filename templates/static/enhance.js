// Every page is complete without this script. It adds a button that shows a
// typed password, keeps a second click from sending a form twice, and tells how
// it goes while the browser asks for a card.
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

  // The page that sent the browser to the card host stands until that host has
  // answered, and so while the browser asks for certificate and PIN. It asks the
  // server how it goes. What silence alone decides is only told: the window may be
  // open still, and to leave this page would close it.
  var live = document.getElementById("card-live"), asking = 0, results = 0, nothing = 0;
  if (live) {
    document.addEventListener("submit", function (event) {
      if (!event.defaultPrevented && "card" in event.target.dataset && !asking) {
        tell("window");
        document.getElementById("card-live-form").hidden = false;
        asking = setInterval(ask, 1500);
      }
    });
    window.addEventListener("pageshow", function (event) {
      if (event.persisted && asking) {
        location.reload(); // the server knows what became of it
      }
    });
  }

  function tell(what) {
    if (live.dataset.told !== what) {
      live.dataset.told = what;
      live.replaceChildren(document.getElementById("card-live-" + what).content.cloneNode(true));
    }
  }

  function ask() {
    fetch(live.dataset.state, { cache: "no-store", credentials: "same-origin", redirect: "error" }).then(function (answer) {
      if (answer.status === 404 || answer.status === 410) {
        clearInterval(asking); // the sign-in is over
      }
      return answer.ok ? answer.json() : {};
    }).then(function (card) {
      if (card.state === "none" && ++nothing > 20) {
        clearInterval(asking); // it is long over
      }
      if (card.state !== "decided") {
        return;
      }
      if (card.silent) {
        tell(card.verdict === "never_reached" ? "never" : "silent");
      } else if (!card.result || ++results > 4) { // a result comes by itself, if it is not lost on the way
        clearInterval(asking);
        location.assign(card.to);
      }
    }).catch(function () {}); // the next time
  }

  // Back from the cache of the browser: forms can be sent again.
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form").forEach(release);
  });
})();
