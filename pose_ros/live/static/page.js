// Requests an update from the server, draws it and requests the next one.
// External text is inserted as text, never as HTML.
"use strict";

const RETRY_MS = 1000;
const STATES = {
  live: "live",
  waiting: "waiting for the first result",
  silent: "silent: no results, is the camera running?",
  gone: "gone: no publisher",
};
// Columns of a row: second, images, dropped, people, latency, computing time.
const PLOTS = [
  { title: "people", lines: [{ column: 3 }] },
  { title: "images per second", lines: [{ column: 1, name: "processed" }, { column: 2, name: "dropped" }] },
  { title: "milliseconds", lines: [{ column: 4, name: "latency" }, { column: 5, name: "computing" }] },
];
const COLOURS = ["first", "second"];
const SVG = "http://www.w3.org/2000/svg";

const cards = new Map(); // by camera name

function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function number(value, digits = 0, unit = "") {
  return value === null ? "–" : value.toFixed(digits) + unit;
}

// Next round number above a value.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value);
}

class Plot {
  constructor({ title, lines }) {
    this.lines = lines;
    this.element = copyOf("plot");
    const find = (selector) => this.element.querySelector(selector);
    write(find(".title"), title);
    this.top = find(".top");
    this.start = find(".start");
    this.svg = find("svg");
    this.svg.setAttribute("aria-label", title);
    this.paths = lines.map(({ name }, index) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", COLOURS[index]);
      if (name) {
        const entry = document.createElement("span");
        entry.className = COLOURS[index];
        write(entry, name);
        find(".legend").append(entry);
      }
      return path;
    });
    this.svg.append(...this.paths.slice().reverse()); // the first line is on top
  }

  draw(rows, second, history) {
    const known = rows.flatMap((row) => this.lines.map(({ column }) => row[column] ?? 0));
    const top = ceiling(Math.max(1, ...known));
    write(this.top, String(top));
    write(this.start, `${history} s ago`);
    this.svg.setAttribute("viewBox", `0 0 ${history} 1`);
    this.lines.forEach(({ column }, index) => {
      let before = null;
      const steps = rows.filter((row) => row[column] !== null).map((row) => {
        const command = before === row[0] - 1 ? "L" : "M";
        before = row[0];
        return `${command}${history - (second - row[0])} ${1 - row[column] / top}h0`;
      });
      this.paths[index].setAttribute("d", steps.join(""));
    });
  }
}

class Card {
  constructor(name) {
    this.element = copyOf("camera");
    this.canvas = this.find("canvas");
    this.canvas.setAttribute("aria-label", `image of ${name} with the detected people`);
    write(this.find(".name"), name);
    this.plots = PLOTS.map((plot) => new Plot(plot));
    this.find(".plots").append(...this.plots.map((plot) => plot.element));
    this.rows = [];
    this.broken = "";
    document.getElementById("cameras").append(this.element);
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  update(camera, second, history) {
    this.element.dataset.state = camera.state;
    write(this.find(".state"), STATES[camera.state]);
    write(this.find(".people"), number(camera.people));
    write(this.find(".rate"), number(camera.rate_hz, 1));
    write(this.find(".latency"), number(camera.latency_ms, 0, " ms"));
    write(this.find(".dropped"), number(camera.dropped));
    write(this.find(".details"), this.details(camera));
    write(this.find(".note"), camera.note || this.broken);
    this.list(camera.tracked);
    this.rows.push(...camera.rows);
    if (second === this.second) return; // new rows arrive once per second
    this.second = second;
    this.rows = this.rows.filter((row) => row[0] >= second - history);
    for (const plot of this.plots) plot.draw(this.rows, second, history);
  }

  disconnect() {
    this.element.dataset.state = "gone";
    write(this.find(".state"), "no connection");
  }

  // One row per person with an id. The speed is in metres if the depth is known.
  list(tracked) {
    this.find(".tracked").hidden = tracked.length === 0;
    const body = this.find(".tracked tbody");
    while (body.rows.length > tracked.length) body.deleteRow(-1);
    tracked.forEach((person, index) => {
      const row = body.rows[index] ?? body.insertRow();
      const speed = person.speed_mps === null
        ? number(person.speed_px, 0, " px/s")
        : number(person.speed_mps, 1, " m/s");
      const cells = [`#${person.id}`, number(person.distance_m, 1, " m"), speed, person.state];
      cells.forEach((text, column) => write(row.cells[column] ?? row.insertCell(), text));
    });
  }

  details({ size_wh, model, times_ms }) {
    if (!size_wh) return "";
    const [preprocess, network, decode] = times_ms.map((time) => number(time, 1));
    const times = `preprocess ${preprocess}, network ${network}, decode ${decode} ms`;
    return `${size_wh[0]} × ${size_wh[1]} px · ${model} · ${times}`;
  }

  async show(data) {
    try {
      const picture = await createImageBitmap(new Blob([data]));
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
      this.canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      this.broken = "";
    } catch {
      this.broken = "the image cannot be decoded";
      write(this.find(".note"), this.broken);
    }
  }
}

function update(news) {
  for (const name of [...cards.keys()].filter((name) => !news.cameras.some((camera) => camera.name === name))) {
    cards.get(name).element.remove();
    cards.delete(name);
  }
  for (const camera of news.cameras) {
    if (!cards.has(camera.name)) cards.set(camera.name, new Card(camera.name));
    cards.get(camera.name).update(camera, news.second, news.history_s);
  }
  const waiting = `waiting for ${news.topics.join(", ")}: no publisher yet`;
  write(document.getElementById("notice"), news.cameras.length ? "" : waiting);
  const people = news.cameras.reduce((sum, camera) => sum + (camera.people ?? 0), 0);
  document.title = news.cameras.length ? `${people} people – pose_ros` : "pose_ros";
}

function connect() {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/live`);
  socket.binaryType = "arraybuffer";
  let names = []; // cameras whose images follow
  let left = 0; // images that are not drawn yet
  // A hidden page gets no animation frames, so it requests no updates.
  const ask = () => requestAnimationFrame(() => socket.readyState === WebSocket.OPEN && socket.send("news?"));

  socket.onopen = () => {
    cards.clear();
    document.getElementById("cameras").replaceChildren();
    ask();
  };
  socket.onmessage = async ({ data }) => {
    if (typeof data === "string") {
      const news = JSON.parse(data);
      update(news);
      names = news.pictures;
      left = names.length;
    } else {
      await cards.get(names.shift()).show(data);
      left -= 1;
    }
    if (left === 0) ask();
  };
  socket.onclose = () => {
    write(document.getElementById("notice"), "no connection to pose_ros view, trying again …");
    for (const card of cards.values()) card.disconnect();
    setTimeout(connect, RETRY_MS);
  };
}

connect();
