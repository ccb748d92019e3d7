// The page: asks what there is, follows it, draws it, and sends what is done by hand.

import * as charts from "./charts.js";
import { byId, bytes, css, element, known, percent, seconds, small } from "./format.js";
import * as graph from "./graph.js";
import * as heat from "./heat.js";
import * as map from "./map.js";
import * as tabs from "./tabs.js";

const TOKEN = "protovine-token";
const RETRY_MS = 1000;
const INSIDE_MS = 1000;
const EVENTS_SHOWN = 200;
const FIELDS = { fanout: "fanout", share_probability: "share-probability", budget: "budget" };
const STATES = { running: "live", paused: "paused", ended: "ended", starting: "starting", recorded: "recorded", failed: "failed" };

let about = null; // What does not change.
let system = null; // The system that is shown.
let status = { state: "starting" };
let frame = null;
let curves = null;
let events = [];
let inside = null;
let node = 0; // The chosen node.
let tab = "age";
let tuning = null; // How a simulated system shares, as the fields say.
let stream = null;
let connected = false;
let playing = null; // The timer of a recorded run that is played.
let wanted = Infinity; // The picture of a recorded run that was asked for last; at first the newest.

// -- The token comes in the fragment of the link, which a browser never sends. It stays in this tab.

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function act(command) {
  const headers = { "content-type": "application/json", "x-protovine-token": sessionStorage.getItem(TOKEN) ?? "" };
  if (about.mode === "swarm") hint("Sending …");
  try {
    const answer = await fetch("/api/act", { method: "POST", headers, body: JSON.stringify(command) });
    if (!answer.ok) throw new Error(await answer.text());
    takeStatus(await answer.json());
    hint("");
  } catch (error) {
    hint(error.message);
  }
}

const hint = (text) => (byId("hint").textContent = text);

// -- What there is.

async function begin() {
  stop();
  try {
    about = await ask("/api/about");
  } catch {
    disconnected();
    return;
  }
  connected = true;
  takeStatus(about.status);
  if (status.state === "failed") return;
  if (!about.ready) {
    byId("message").textContent = about.mode === "recorded" ? "Reading the recorded run …" : about.mode === "swarm" ? (status.error ?? "Asking the members of the swarm …") : "Starting: the first start compiles kernels, which can take half a minute …";
    setTimeout(begin, 400);
    return;
  }
  const before = system?.name;
  const select = byId("system");
  select.replaceChildren(...about.systems.map((each) => element("option", each.name, { value: each.name })));
  choose(about.systems.some((each) => each.name === before) ? before : about.systems[0].name);
}

function choose(name) {
  stop();
  system = about.systems.find((each) => each.name === name);
  byId("system").value = name;
  byId("system").title = system.about;
  about.names = Array.from({ length: system.nodes }, (_, i) => about.names[i] ?? `node ${i}`);
  frame = curves = inside = null;
  events = [];
  node = Math.min(node, system.nodes - 1);
  byId("title").textContent = `protovine: ${about.title}`;
  document.title = `${about.title} – protovine watch`;
  prepareControls();
  layOut();
  if (about.mode === "recorded") followRecorded();
  else follow();
}

function layOut() {
  if (!system) return;
  const real = about.mode === "swarm";
  document.querySelector("main").dataset.mode = about.mode;
  graph.build(system, about.names, selectNode, real);
  graph.legend(system.nodes, real, may("pause-sharing"));
  byId("graph-note").textContent = graph.isLarge(system.nodes) ? `${system.nodes} nodes, coloured by accuracy` : real ? "coloured by accuracy" : "coloured by accuracy; edges by traffic";
  byId("accuracy-note").textContent = real ? "of all predictions of each node, %" : "of the last 100 predictions of each node, %";
  const time = { live: "space pauses, ", recorded: "space plays and pauses, ← and → move in time, " }[about.mode] ?? "";
  byId("keys").textContent = time + (graph.isLarge(system.nodes) ? "tab reaches the swarm, where arrows choose a node" : "tab reaches every node");
  byId("tab-trust").hidden = real; // A status does not say whom a node trusts.
  byId("system-label").hidden = about.systems.length < 2;
}

// -- Following: pictures come as server-sent events.

function follow() {
  stream = new EventSource(`/api/stream?system=${encodeURIComponent(system.name)}`);
  stream.onmessage = (message) => {
    const news = JSON.parse(message.data);
    if (news.status.instance !== about.instance || news.status.version !== about.version) {
      begin(); // Another process answers, or there are more members: everything may be new.
      return;
    }
    connected = true;
    takeStatus(news.status);
    if (!news.frame) return;
    frame = news.frame;
    curves = charts.joined(curves, news.curves);
    events = [...news.events.reverse(), ...events].slice(0, EVENTS_SHOWN);
    if (news.events.length) drawLog();
    draw();
  };
  stream.onerror = () => {
    disconnected(false);
    if (stream?.readyState === EventSource.CLOSED) {
      stop();
      setTimeout(begin, RETRY_MS);
    }
  };
}

function stop() {
  stream?.close();
  stream = null;
  clearInterval(playing);
  playing = null;
}

function disconnected(again = true) {
  connected = false;
  showState();
  byId("message").textContent = "The program does not answer. This page connects again as soon as it does.";
  if (again) setTimeout(begin, RETRY_MS);
}

// -- A recorded run: pictures by number.

async function followRecorded() {
  const shown = system;
  wanted = Math.min(wanted, about.frames - 1);
  byId("slider").max = about.frames - 1;
  byId("slider").value = wanted;
  try {
    const answer = await ask(`/api/curves?system=${encodeURIComponent(shown.name)}`);
    if (shown !== system) return; // Another system was chosen meanwhile.
    curves = answer;
    await goTo(wanted); // The slider may have moved meanwhile.
  } catch {
    if (shown === system) disconnected();
  }
}

async function goTo(number) {
  wanted = Math.min(about.frames - 1, Math.max(0, number));
  byId("slider").value = wanted;
  const [shown, asked] = [system, wanted];
  try {
    const answer = await ask(`/api/frame?system=${encodeURIComponent(shown.name)}&at=${asked}`);
    if (shown !== system || asked !== wanted) return; // Another one was asked for meanwhile.
    connected = true;
    frame = answer.frame;
    takeStatus(answer.status);
    events = [...frame.events].reverse();
    drawLog();
    draw();
  } catch {
    stop();
    disconnected();
  }
}

function togglePlay() {
  if (about.mode !== "recorded") {
    act({ do: status.state === "paused" ? "go" : "pause" });
    return;
  }
  if (playing) {
    clearInterval(playing);
    playing = null;
  } else {
    if (wanted >= about.frames - 1) wanted = -1;
    playing = setInterval(() => {
      if (wanted >= about.frames - 1) togglePlay();
      else goTo(wanted + 1);
    }, 100);
  }
  showState();
}

// -- Drawing.

function draw() {
  if (!frame || !curves) return;
  const empty = !frame.totals.samples;
  showState();
  showMessage(empty);
  graph.draw(frame, node);
  takeTuning();
  const count = about.mode === "recorded" ? Math.max(1, curves.t.filter((at) => at <= frame.t + 1e-3).length) : curves.t.length;
  const names = about.systems.map((each) => each.name);
  charts.draw(curves, system, names, frame, about.end, driftTimes(), count);
  drawPairs();
  if (about.end) byId("progress").value = Math.min(1, frame.t / about.end);
  const time = about.end ? `${frame.t.toFixed(1)} of ${about.end.toFixed(1)} s` : `${frame.t.toFixed(1)} s`;
  byId("time").textContent = time;
  byId("slider").setAttribute("aria-valuetext", time);
}

// How the system shares now: by its settings, or as somebody has set it, from this page or another.
function takeTuning() {
  const now = about.mode === "swarm" ? { budget: budgetOfAll() } : frame.tuning;
  system.budget = now.budget ?? null;
  if (about.mode !== "live" || JSON.stringify(now) === JSON.stringify(tuning)) return;
  tuning = now;
  for (const [name, id] of Object.entries(FIELDS)) byId(id).value = tuning[name] ?? "";
}

// The budget that all nodes have which say it; null if they differ.
function budgetOfAll() {
  const budgets = new Set(frame.control.filter(known).map((each) => each.budget_bytes_per_s));
  return budgets.size === 1 ? [...budgets][0] : null;
}

const driftTimes = () => events.filter((each) => ["drift", "hand", "alarm"].includes(each.kind)).map((each) => each.at);

function drawPairs() {
  if (tab === "age") heat.ages(frame, system, about.names);
  else heat.trust(inside, system, about.names);
}

function showMessage(empty) {
  if (empty) {
    byId("message").textContent = "Waiting for the first samples …";
    return;
  }
  const others = Object.entries(frame.others).filter(([, value]) => known(value));
  const beside = others.map(([name, value]) => `${name} ${percent(value)}`).join(", ");
  const sends = system.shares ? `; each node sends ${bytes(frame.bytes)}` : "; no node sends anything";
  const right = `${system.name}: ${percent(frame.recent)} of the ${about.mode === "swarm" ? "" : "newest "}predictions are right${beside ? ` (${beside})` : ""}${sends}.`;
  byId("message").textContent = about.mode === "swarm" && status.error ? `${status.error}: the page shows the last answers.` : right;
  const totals = frame.totals;
  const traffic = totals.bytes_per_node_per_s;
  const down = frame.nodes.state.filter((each) => each === "down").length;
  const numbers = [
    ["F1 so far", known(totals.f1) ? totals.f1.toFixed(3) : "–", "f1"],
    ["accuracy so far", known(totals.accuracy) ? totals.accuracy.toFixed(3) : "–", "accuracy"],
    ["traffic so far", known(traffic) ? `${traffic < 1 ? small(traffic) : traffic.toFixed(1)} B/s per node` : "–", "bytes_per_node_per_s"],
    ["mean age", seconds(totals.aoi_mean_s, 3), "aoi_mean_s"],
    ["samples", totals.samples.toLocaleString("en"), "samples"],
    ["nodes up", `${system.nodes - down} of ${system.nodes}`, "up"],
  ];
  // A status has no F1, and no bytes from the beginning.
  const shownNumbers = about.mode === "swarm" ? numbers.filter(([, value]) => !value.startsWith("–")) : numbers;
  byId("numbers").replaceChildren(...shownNumbers.map(([name, value, id]) => {
    const made = element("span", `${name} `);
    made.append(element("b", value, { "data-number": id }));
    return made;
  }));
}

function drawLog() {
  const rows = events.map((each) => {
    const row = element("li", "", { class: each.kind });
    const who = known(each.node) ? `${about.names[each.node] ?? `node ${each.node}`} ` : "";
    row.append(element("time", `${each.at.toFixed(1)} s`), element("span", `${who}${each.text}`));
    return row;
  });
  byId("log").replaceChildren(...(rows.length ? rows : [element("li", "Nothing has happened yet.")]));
}

function takeStatus(news) {
  status = news;
  if (status.state === "failed") byId("message").textContent = status.error;
  showState();
}

function showState() {
  const badge = byId("state");
  const state = connected ? status.state : "reconnecting";
  badge.textContent = playing ? "playing" : (STATES[state] ?? state);
  badge.dataset.state = state;
  const play = byId("play");
  play.textContent = about?.mode === "recorded" ? (playing ? "Pause" : "Play") : status.state === "paused" ? "Go" : "Pause";
  play.disabled = about?.mode !== "recorded" && !["running", "paused"].includes(status.state);
  byId("speed").value = String(status.speed);
  const over = status.state === "ended";
  for (const control of document.querySelectorAll("#hands button")) control.disabled = over;
  if (frame) showNode();
}

// -- Nodes and what is done to them by hand.

function selectNode(i) {
  node = i;
  byId("node").value = String(i);
  offerPeers();
  inside = null;
  if (frame) graph.draw({ ...frame, pulses: [] }, node);
  showNode();
  look();
}

// A link leads to another node: the one that was chosen before, or the next.
function offerPeers() {
  const select = byId("other");
  const before = select.value;
  const options = about.names.map((name, i) => element("option", name, { value: i })).filter((_, i) => i !== node);
  select.replaceChildren(...options);
  select.value = before !== "" && before !== String(node) && Number(before) < system.nodes ? before : String((node + 1) % system.nodes);
  showLink();
}

function showNode() {
  const down = frame?.nodes.state[node] === "down";
  byId("kill").textContent = may("stop") ? "Stop" : down ? "Restart" : "Kill";
  showLink();
  if (about?.mode === "swarm" && about.controls.length) showControl(down);
}

function showLink() {
  const other = Number(byId("other").value);
  const cut = frame?.cut?.some(([a, b]) => (a === node && b === other) || (a === other && b === node));
  const open = (status.by_hand ?? []).some((each) => each.kind === "cut" && each.until_s >= 1e8 && [each.source, each.target].includes(node) && [each.source, each.target].includes(other));
  byId("cut").textContent = cut || open ? "Restore link" : "Cut link";
}

// How a real node shares now, or why it takes no commands.
function showControl(down) {
  const control = frame?.control?.[node];
  const name = about.names[node];
  const why = control ? "" : down ? `${name} does not answer. A node that has stopped is started on its own machine.` : `${name} takes no commands: its settings have no [control].`;
  byId("hands-note").textContent = why;
  for (const each of document.querySelectorAll("#hands button")) {
    each.disabled = !control && each.id !== "set-everywhere";
    each.title = each.disabled ? why : "";
  }
  byId("pause-sharing").textContent = control?.paused ? "Resume sharing" : "Pause sharing";
  byId("fanout").placeholder = control?.fanout ?? "";
  byId("share-probability").placeholder = control?.share_probability ?? "";
  byId("budget").placeholder = control?.budget_bytes_per_s || "no limit";
  byId("budget").disabled = control !== null && control !== undefined && !known(control.budget_bytes_per_s);
  byId("budget").title = byId("budget").disabled ? "Only a log has a budget." : "";
}

const may = (name) => about?.controls.includes(name);

function prepareControls() {
  const live = about.mode === "live";
  const recorded = about.mode === "recorded";
  byId("slider").hidden = !recorded;
  byId("progress").hidden = recorded || !about.end;
  byId("speed-label").hidden = !live;
  byId("play").hidden = !live && !recorded;
  byId("hands").hidden = !about.controls.length && !about.read_only;
  for (const each of document.querySelectorAll("#hands .hand")) each.hidden = !about.controls.length;
  for (const each of document.querySelectorAll("#hands [data-needs]")) each.hidden = !each.dataset.needs.split(" ").some(may) || (each.dataset.needs === "cut" && system.nodes < 2);
  byId("hands-note").textContent = about.read_only ?? "";
  const options = about.names.map((name, i) => element("option", name, { value: i }));
  byId("node").replaceChildren(...options);
  byId("node").value = String(node);
  offerPeers();
  byId("attack").replaceChildren(...about.attacks.map((name) => element("option", name)));
  byId("drift").replaceChildren(...Object.entries(about.drifts).map(([name, words]) => element("option", name, { title: words })));
  tuning = null;
  byId("set").textContent = live ? "Set" : "Set here";
  if (about.controls.length && !sessionStorage.getItem(TOKEN)) hint("Read only: open the whole link that the command printed to control it.");
}

// In a simulation the fields have what is in force, and no budget is no limit; of real nodes, what is left empty stays.
async function retune(nodes) {
  const before = (about.mode === "live" && tuning) || {};
  const number = (name) => (byId(FIELDS[name]).value === "" ? null : Number(byId(FIELDS[name]).value));
  const now = { fanout: number("fanout"), share_probability: number("share_probability"), budget: number("budget") ?? (known(before.budget) ? 0 : null) };
  const { budget, ...changed } = Object.fromEntries(Object.entries(now).filter(([name, value]) => known(value) && value !== before[name]));
  if (known(budget)) changed.budget_bytes_per_s = budget;
  if (Object.keys(changed).length) await act({ do: "retune", ...nodes, ...changed });
  else hint("No value was changed.");
  if (about.mode === "swarm") byId("retune").reset();
}

function killOrStop() {
  const text = byId("kill").textContent;
  if (text !== "Stop") act({ do: text.toLowerCase(), node });
  else if (window.confirm(`Stop ${about.names[node]}? It saves its state and leaves. This page cannot start it again.`)) act({ do: "stop", node });
}

function showPairs(name) {
  tab = name;
  byId("pairs").setAttribute("aria-labelledby", `tab-${name}`);
  if (frame) drawPairs();
  look();
}

function wire() {
  byId("play").addEventListener("click", togglePlay);
  byId("slider").addEventListener("input", (event) => goTo(Number(event.target.value)));
  byId("speed").addEventListener("change", (event) => act({ do: "speed", speed: Number(event.target.value) }));
  byId("system").addEventListener("change", (event) => choose(event.target.value));
  byId("node").addEventListener("change", (event) => selectNode(Number(event.target.value)));
  byId("other").addEventListener("change", showNode);
  byId("kill").addEventListener("click", killOrStop);
  byId("pause-sharing").addEventListener("click", () => act({ do: byId("pause-sharing").textContent === "Pause sharing" ? "pause-sharing" : "resume-sharing", nodes: [node] }));
  byId("byzantine").addEventListener("click", () => act({ do: "attack", node, attack: byId("attack").value }));
  byId("cut").addEventListener("click", async () => {
    await act({ do: byId("cut").textContent === "Cut link" ? "cut" : "mend", a: node, b: Number(byId("other").value) });
    showNode();
  });
  byId("drift-here").addEventListener("click", () => act({ do: "drift", change: byId("drift").value, nodes: [node] }));
  byId("drift-everywhere").addEventListener("click", () => act({ do: "drift", change: byId("drift").value, nodes: [] }));
  byId("retune").addEventListener("submit", (event) => {
    event.preventDefault();
    retune(about.mode === "live" ? {} : { nodes: [node] });
  });
  byId("set-everywhere").addEventListener("click", () => retune({}));
  tabs.prepare(["age", "trust"].map((name) => byId(`tab-${name}`)), (chosen) => showPairs(chosen.id.replace("tab-", "")));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.target.closest("input, select, button, a")) return;
    if (event.key === " ") {
      event.preventDefault();
      togglePlay();
    } else if (about?.mode === "recorded" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      goTo(wanted + (event.key === "ArrowLeft" ? -1 : 1));
    }
  });
  let late = null;
  window.addEventListener("resize", () => {
    clearTimeout(late);
    late = setTimeout(redraw, 100);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function redraw() {
  layOut();
  draw();
  map.draw(inside, about);
}

// -- Inside the chosen node, once a second while the page is visible.

async function look() {
  if (!system || !about?.ready || document.hidden || !connected) return;
  const asked = [system.name, node].join();
  const at = about.mode === "recorded" ? wanted : -1;
  try {
    const found = await ask(`/api/inside?system=${encodeURIComponent(system.name)}&node=${node}${at >= 0 ? `&at=${at}` : ""}`);
    if (asked !== [system.name, node].join()) return;
    inside = found;
  } catch (error) {
    inside = { error: error.message };
  }
  map.draw(inside, about);
  if (tab === "trust" && frame) drawPairs();
}

takeToken();
wire();
heat.prepare();
map.prepare();
graph.prepareMosaic(selectNode);
drawLog();
begin();
setInterval(look, INSIDE_MS);
window.protovine = { points: charts.drawn, lines: charts.lines, frame: () => frame };
