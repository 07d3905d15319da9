/* Adds up the lines of a journal as they are typed. Amounts are counted in whole cents. */
(() => {
  "use strict";

  const cents = (text) => {
    const match = /^(\d*)(?:\.(\d{1,2}))?$/.exec(text.replace(/[\s,]/g, ""));
    return match ? BigInt((match[1] || "0") + (match[2] || "").padEnd(2, "0")) : 0n;
  };

  const shown = (amount) => {
    const whole = (amount / 100n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
    return `KES ${whole}.${(amount % 100n).toString().padStart(2, "0")}`;
  };

  const isCounted = (input) => {
    if (input.name.includes("__prefix__")) return false;
    const line = input.name.replace(/-(debit|credit)$/, "");
    const gone = document.querySelector(`input[name="${line}-DELETE"]`);
    return !(gone && gone.checked);
  };

  const sum = (side) =>
    [...document.querySelectorAll(`input[name^="lines-"][name$="-${side}"]`)]
      .filter(isCounted)
      .reduce((total, input) => total + cents(input.value), 0n);

  const update = (strip) => {
    const debit = sum("debit");
    const credit = sum("credit");
    const difference = debit > credit ? debit - credit : credit - debit;
    const missing = debit > credit ? "credit" : "debit";
    const balances = difference === 0n;
    strip.querySelector('[data-sum="debit"]').textContent = shown(debit);
    strip.querySelector('[data-sum="credit"]').textContent = shown(credit);
    const told = strip.querySelector('[data-sum="difference"]');
    told.textContent = balances ? "None: it balances" : `${shown(difference)} more to ${missing}`;
    strip.dataset.balances = balances;
    strip.hidden = false;
  };

  document.addEventListener("DOMContentLoaded", () => {
    const strip = document.querySelector("[data-journal-difference]");
    if (!strip) return;
    document.getElementById("lines-group")?.after(strip);
    const again = () => update(strip);
    document.addEventListener("input", again);
    document.addEventListener("change", again);
    document.addEventListener("formset:added", again);
    document.addEventListener("formset:removed", again);
    again();
  });
})();
