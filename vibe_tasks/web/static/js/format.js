// Figures as people read them. Times are seconds, moments are seconds since 1970.

const APART = 2; // seconds; less is the way that answers take
let ahead = 0; // seconds by which the server's clock is ahead of this browser's

/** Now, in seconds since 1970 by the server's clock: ages are counted from moments of its own. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/** The server has said what time it is, as its answers do. */
export function serverSays(date) {
  const apart = Date.parse(date) / 1000 + 0.5 - Date.now() / 1000;
  if (Number.isFinite(apart)) ahead = Math.abs(apart) > APART ? apart : 0;
}

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1234 -> "1,234"; 45678 -> "45.7K"; nothing -> "–". */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 10000 ? COMPACT.format(value) : NUMBER.format(value);
}

/** All digits, where a sum is to be checked: 45678 -> "45,678". */
export function exact(value) {
  return NUMBER.format(value);
}

/** Seconds as one or two units: 0.42 -> "0.4 s", 95 -> "1 min 35 s". */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, seconds);
  if (whole < 0.95) return whole === 0 ? "0 s" : `${Math.max(0.1, whole).toFixed(1)} s`;
  if (whole < 9.95) return `${NUMBER.format(whole)} s`;
  if (whole < 59.5) return `${Math.round(whole)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const rounded = Math.round(whole);
  const first = units.findIndex(([, size]) => rounded >= size);
  const [name, size] = units[first];
  const [nextName, nextSize] = units[first + 1];
  const rest = Math.floor((rounded % size) / nextSize);
  return `${Math.floor(rounded / size)} ${name}${rest ? ` ${rest} ${nextName}` : ""}`;
}

/** "3 min ago"; the future is "in 3 min". */
export function ago(at) {
  if (at === null || at === undefined) return "–";
  const seconds = now() - at;
  if (seconds < -1) return `in ${short(-seconds)}`;
  return seconds < 1 ? "now" : `${short(seconds)} ago`;
}

/** One unit only: 95 -> "1 min". */
export function short(seconds) {
  const [first, unit] = span(seconds).split(" ");
  return `${unit === "s" ? Math.round(Number(first)) : first} ${unit}`;
}

/** A moment in this place's time: "14:03:22", with the day where it is not today. */
export function moment(at) {
  if (at === null || at === undefined) return "–";
  const date = new Date(at * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  const time = clock(date);
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** "14:03:22" of a Date. */
export function clock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** 2048 -> "2 kB". */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${NUMBER.format(value / 1e3)} kB`;
  return `${NUMBER.format(value / 1e6)} MB`;
}

/** Dollars, small sums with more digits. */
export function money(usd) {
  if (usd === null || usd === undefined) return "–";
  return `$${usd.toFixed(usd !== 0 && Math.abs(usd) < 1 ? 4 : 2)}`;
}

/** A part of a whole, in percent. */
export function percent(part, whole) {
  return whole ? `${Math.round((100 * part) / whole)} %` : "–";
}

/** counted(1, "job") -> "1 job", counted(3, "job") -> "3 jobs". */
export function counted(number, noun, plural = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

/** Long names keep both ends, which tell them apart. */
export function cut(text, most = 40) {
  const letters = String(text ?? "");
  if (letters.length <= most) return letters;
  const tail = Math.floor((most - 1) / 3);
  return `${letters.slice(0, most - 1 - tail)}…${letters.slice(letters.length - tail)}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}
