"""What a page of the dashboard is told to do with the dashboard's own modules."""

from __future__ import annotations

LATE = """async () => {
  const { live } = await import('/static/js/live.js');
  const page = new AbortController();
  const shown = [], answers = [];
  const look = live({ signal: page.signal, stream: { on: () => () => {} } }, {
    load: () => new Promise((answer) => answers.push(answer)), show: (value) => shown.push(value),
  });
  const done = look.refresh();
  answers[1]('newer');
  await done;
  answers[0]('older');
  await new Promise((go) => setTimeout(go));
  page.abort();
  await look.refresh();
  return [shown, answers.length];
}"""

FOCUS = """async () => {
  const { h, keyed } = await import('/static/js/dom.js');
  const list = h('ul');
  document.querySelector('main').append(list);
  const make = (n) => h('li', {}, h('button', { id: `b${n}` }));
  const draw = (items) => keyed(list, items, (n) => n, make, () => {});
  const seen = [];
  const tell = () => seen.push(document.activeElement.id);
  draw([1, 2, 3]);
  document.getElementById('b3').focus();
  for (const items of [[2, 3], [0, 2, 3], [3, 2], [2]]) { draw(items); tell(); }
  list.remove();
  return seen;
}"""

TOKENS = """async () => {
  const { Api } = await import('/static/js/api.js');
  let asked = 0;
  const api = new Api(async () => { asked += 1; return null; });
  const real = window.fetch;
  window.fetch = async () => new Response('{}', { status: 401 });
  const told = [];
  for (const act of ['get', 'get', 'post', 'get']) {
    await api[act]('x').catch((problem) => told.push(problem.status));
  }
  window.fetch = real;
  return [asked, told];
}"""

STREAM = """async () => {
  const { Stream } = await import('/static/js/stream.js');
  const real = window.WebSocket, opened = [];
  window.WebSocket = class {
    constructor(url) { this.url = String(url); opened.push(this); }
    close() {}
  };
  const stream = new Stream(() => null);
  const say = (message) => stream.socket.onmessage({ data: JSON.stringify(message) });
  const breaks = () => {
    stream.socket.onclose();
    clearTimeout(stream.timer);
    stream.open();
  };
  stream.start();
  for (let n = 0; n < 4; n++) {
    for (const each of [null, 7, { type: 'news' }]) say(each);
    say({ type: 'hello', protocol: 2, resumed: n > 0 });
    say({ type: 'initial', data: [], last_id: 40 });
    breaks();
  }
  const attempts = stream.attempts;
  say({ type: 'initial', data: [], last_id: 40 });
  stream.aliveAt -= 2 * 3600 * 1000;
  breaks();
  stream.stop();
  window.WebSocket = real;
  return [attempts, opened.slice(-2).map((socket) => socket.url.includes('after=40'))];
}"""

CLOCK = """async () => {
  const { ago, serverSays } = await import('/static/js/format.js');
  const told = [];
  for (const ahead of [0, 3600, -3600]) {
    serverSays(new Date(Date.now() + 1000 * ahead).toUTCString());
    told.push(ago(Date.now() / 1000 + ahead - 120));
  }
  serverSays(new Date().toUTCString());
  return told;
}"""
