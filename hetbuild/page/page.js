"use strict";
// The 3D view: what to draw is in the JSON element `scene`; see hetbuild/page/scene.py.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("scene").textContent);
  const MOST_BONDED = 20000; // atoms up to which bonds are drawn
  const FILL = 0.84; // part of the picture the model takes
  const BALL = { balls: 0.4, small: 0.22, large: 1.0 };
  const COUNTED = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962",
    "#addc30", "#fde725"];
  const MOVED = ["#2b83ba", "#80bfab", "#c7e8ad", "#ffffbf", "#fdc980", "#f07c4a", "#d7191c"];

  function unpack(text, Kind) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new Kind(bytes.buffer);
  }
  const n = data.count;
  const position = Float64Array.from(unpack(data.position, Int32Array), (x) => x * data.step);
  const element = unpack(data.element, Uint8Array);
  const domain = unpack(data.domain, Uint8Array);
  const role = unpack(data.role, Uint8Array);
  const charge = unpack(data.charge, Int8Array);
  const site = unpack(data.site, Int16Array);
  const moved = data.moved
    ? Float64Array.from(unpack(data.moved, Int16Array), (x) => x * data.moved_step) : null;
  const symbols = data.elements.map((e) => e.symbol);
  const away = (i) => Math.hypot(moved[3 * i], moved[3 * i + 1], moved[3 * i + 2]);

  // Neighbours: cations and anions within reach of each other, found on a grid of cells.
  const kinds = symbols.length;
  const reach = new Float64Array(kinds * kinds);
  for (const [a, b, limit] of data.reach) {
    const i = symbols.indexOf(a), j = symbols.indexOf(b);
    reach[i * kinds + j] = reach[j * kinds + i] = limit * limit;
  }
  const drawn = new Set(data.bonds.flatMap(([a, b]) => [a + " " + b, b + " " + a]));
  const neighbours = findNeighbours();

  function findNeighbours() {
    const found = Array.from({ length: n }, () => []);
    const edge = Math.sqrt(Math.max(1, ...reach));
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < 3 * n; i++) {
      low[i % 3] = Math.min(low[i % 3], position[i]);
      high[i % 3] = Math.max(high[i % 3], position[i]);
    }
    const size = low.map((x, k) => Math.floor((high[k] - x) / edge) + 1);
    const cells = new Map();
    const place = (i, k) => Math.floor((position[3 * i + k] - low[k]) / edge);
    for (let i = 0; i < n; i++) {
      const key = (place(i, 0) * size[1] + place(i, 1)) * size[2] + place(i, 2);
      if (cells.has(key)) cells.get(key).push(i); else cells.set(key, [i]);
    }
    for (let i = 0; i < n; i++) {
      const [a, b, c] = [place(i, 0), place(i, 1), place(i, 2)];
      for (let x = Math.max(0, a - 1); x <= Math.min(size[0] - 1, a + 1); x++)
        for (let y = Math.max(0, b - 1); y <= Math.min(size[1] - 1, b + 1); y++)
          for (let z = Math.max(0, c - 1); z <= Math.min(size[2] - 1, c + 1); z++)
            for (const j of cells.get((x * size[1] + y) * size[2] + z) || [])
              if (j > i && squared(i, j) <= reach[element[i] * kinds + element[j]]) {
                found[i].push(j);
                found[j].push(i);
              }
    }
    return found;
  }
  function squared(i, j) {
    let sum = 0;
    for (let k = 0; k < 3; k++) sum += (position[3 * i + k] - position[3 * j + k]) ** 2;
    return sum;
  }

  // Colours: for each choice the class of an ion, and each class's colour and name.
  const inClasses = (list, name) => ({ of: null, colours: list.map((e) => e.colour), names: list.map(name) });
  const choices = {
    element: { ...inClasses(data.elements, (e) => e.symbol), of: (i) => element[i] },
    domain: { ...inClasses(data.domains, (d) => d.name + " (" + d.crystal + ")"), of: (i) => domain[i] },
    role: { ...inClasses(data.roles, (r) => r.name), of: (i) => role[i] },
    coordination: {
      of: (i) => Math.min(neighbours[i].length, 8), colours: COUNTED,
      names: COUNTED.map((_, k) => k + (k === 8 ? " or more" : "") + " neighbours"),
    },
  };
  if (moved) {
    const most = Array.from({ length: n }, (_, i) => away(i)).reduce((a, b) => Math.max(a, b), 1e-9);
    const width = most / MOVED.length;
    choices.displacement = {
      of: (i) => Math.min(MOVED.length - 1, Math.floor(away(i) / width)), colours: MOVED,
      names: MOVED.map((_, k) => (k * width).toFixed(2) + " to " + ((k + 1) * width).toFixed(2) + " Å"),
    };
  }

  function option(select, value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    select.append(made);
    return made;
  }
  for (const name of Object.keys(choices)) option(byId("colour"), name, name);
  if (moved) byId("colour").value = "displacement";
  const groups = {};
  data.views.forEach((v, k) => {
    let parent = byId("zone");
    if (v.group) {
      if (!groups[v.group]) {
        groups[v.group] = document.createElement("optgroup");
        groups[v.group].label = v.group;
        parent.append(groups[v.group]);
      }
      parent = groups[v.group];
    }
    option(parent, k, v.name);
  });
  const shown = data.domains.map((d, k) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", draw);
    label.append(box, " " + d.name);
    byId("domains").append(label);
    return box;
  });
  byId("domains").hidden = data.domains.length < 2;
  byId("number").max = n;
  if (n > MOST_BONDED) byId("style").value = "large";

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ground = () => (dark.matches ? "#14171c" : "#ffffff");
  let viewer = null, model = null, mark = null, label = null, arrows = null;

  function start() {
    viewer = $3Dmol.createViewer(byId("view"), { backgroundColor: ground(), orthographic: true, antialias: true });
    if (!viewer) throw new Error("no WebGL");
    const bonded = n <= MOST_BONDED;
    const atoms = Array.from({ length: n }, (_, i) => {
      const ends = bonded ? neighbours[i].filter((j) => drawn.has(symbols[element[i]] + " " + symbols[element[j]])) : [];
      return {
        elem: symbols[element[i]], index: i, serial: i + 1, bonds: ends, bondOrder: ends.map(() => 1),
        x: position[3 * i], y: position[3 * i + 1], z: position[3 * i + 2],
      };
    });
    model = viewer.addModel();
    model.addAtoms(atoms);
    if (data.cell) drawCell();
    draw();
    viewer.setClickable({}, true, (atom) => choose(atom.index));
    reset();
  }

  function draw() {
    legend();
    if (!viewer) return;
    const choice = choices[byId("colour").value];
    const how = byId("style").value;
    const paint = (atom) => choice.colours[choice.of(atom.index)];
    viewer.setStyle({}, {});
    data.elements.forEach((e) => {
      const look = { sphere: { radius: BALL[how] * e.radius, colorfunc: paint } };
      if (how === "balls" && n <= MOST_BONDED) look.stick = { radius: 0.09, colorfunc: paint };
      const pick = (atom) => atom.elem === e.symbol && shown[domain[atom.index]].checked;
      viewer.setStyle({ predicate: pick }, look);
    });
    drawArrows();
    viewer.render();
  }

  function legend() {
    const choice = choices[byId("colour").value];
    const count = new Array(choice.colours.length).fill(0);
    for (let i = 0; i < n; i++) if (shown[domain[i]].checked) count[choice.of(i)]++;
    byId("legend").replaceChildren(...count.flatMap((c, k) => {
      if (!c) return [];
      const item = document.createElement("li"), dot = document.createElement("span");
      dot.style.background = choice.colours[k];
      item.append(dot, choice.names[k] + " " + c);
      return [item];
    }));
  }

  function drawCell() {
    // Positions are counted from data.origin; the cell's corner is the model's origin.
    const at = (a, b, c) => {
      const p = [0, 1, 2].map((k) => a * data.cell[0][k] + b * data.cell[1][k] + c * data.cell[2][k] - data.origin[k]);
      return { x: p[0], y: p[1], z: p[2] };
    };
    for (const [a, b] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      viewer.addLine({ start: at(0, a, b), end: at(1, a, b), color: "gray" });
      viewer.addLine({ start: at(a, 0, b), end: at(a, 1, b), color: "gray" });
      viewer.addLine({ start: at(a, b, 0), end: at(a, b, 1), color: "gray" });
    }
  }

  function drawArrows() {
    if (!moved) return;
    if (arrows) viewer.removeShape(arrows);
    const times = Number(byId("times").value);
    arrows = viewer.addShape({ color: dark.matches ? "#ffffff" : "#111111" });
    data.arrows.filter((i) => shown[domain[i]].checked).forEach((i) => {
      const [x, y, z] = [0, 1, 2].map((k) => position[3 * i + k]);
      const [u, v, w] = [0, 1, 2].map((k) => times * moved[3 * i + k]);
      arrows.addArrow({ start: { x, y, z }, end: { x: x + u, y: y + v, z: z + w }, radius: 0.07, radiusRatio: 2.2, mid: 0.7 });
    });
  }

  function turn(k) {
    const view = viewer.getView();
    viewer.setView([...view.slice(0, 4), ...data.views[k].turn, ...view.slice(8)]);
    viewer.render();
  }
  function reset() {
    byId("zone").value = 0;
    viewer.zoomTo();
    turn(0);
    fill();
  }

  // Zooms so that the model takes most of the picture, whatever its shape.
  function fill() {
    const step = Math.max(1, Math.floor(n / 4000)), points = [];
    for (let i = 0; i < n; i += step) points.push({ x: position[3 * i], y: position[3 * i + 1], z: position[3 * i + 2] });
    const places = viewer.modelToScreen(points);
    const ends = (axis) => {
      let low = Infinity, high = -Infinity;
      for (const p of places) {
        low = Math.min(low, p[axis]);
        high = Math.max(high, p[axis]);
      }
      return { middle: (low + high) / 2, span: Math.max(high - low, 1) };
    };
    const box = byId("view").getBoundingClientRect(), x = ends("x"), y = ends("y");
    viewer.translate(box.left + scrollX + box.width / 2 - x.middle, box.top + scrollY + box.height / 2 - y.middle);
    viewer.zoom(FILL * Math.min(box.width / x.span, box.height / y.span, 4));
    viewer.render();
  }

  // The ion chosen.
  function row(list, name, text) {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = text;
    list.append(dt, dd);
  }
  function choose(i) {
    const d = data.domains[domain[i]], name = symbols[element[i]] + " " + (i + 1);
    byId("ion-name").textContent = name;
    byId("hint").hidden = true;
    byId("number").value = i + 1;
    const list = byId("ion");
    list.replaceChildren();
    row(list, "Element", symbols[element[i]]);
    row(list, "Site", site[i] < 0 ? "none" : d.sites[site[i]] + " of " + d.crystal);
    row(list, "Charge", (charge[i] > 0 ? "+" : "") + charge[i] + " e");
    row(list, "Domain", d.name);
    row(list, "Role", data.roles[role[i]].name);
    row(list, "Position", [0, 1, 2].map((k) => (position[3 * i + k] + data.origin[k]).toFixed(3)).join(" ") + " Å");
    if (moved) row(list, "Moved", away(i).toFixed(3) + " Å");
    row(list, "Neighbours", String(neighbours[i].length));
    const near = [...neighbours[i]].sort((a, b) => squared(i, a) - squared(i, b));
    byId("neighbours").replaceChildren(...near.map((j) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = symbols[element[j]] + " " + (j + 1) + "  " + Math.sqrt(squared(i, j)).toFixed(2) + " Å";
      button.addEventListener("click", () => choose(j));
      item.append(button);
      return item;
    }));
    if (!viewer) return;
    if (mark) {
      viewer.removeShape(mark);
      viewer.removeLabel(label);
    }
    label = viewer.addLabel(name, {
      position: { x: position[3 * i], y: position[3 * i + 1], z: position[3 * i + 2] },
      fontSize: 13, fontColor: "white", backgroundColor: "#a3135b", backgroundOpacity: 0.85, inFront: true,
    });
    mark = viewer.addSphere({
      center: { x: position[3 * i], y: position[3 * i + 1], z: position[3 * i + 2] },
      radius: 1.15 * BALL[byId("style").value] * data.elements[element[i]].radius, color: "#ff2d95", opacity: 0.55,
    });
    viewer.render();
  }

  byId("colour").addEventListener("change", draw);
  byId("style").addEventListener("change", draw);
  byId("zone").addEventListener("change", (event) => viewer && turn(Number(event.target.value)));
  byId("reset").addEventListener("click", () => viewer && reset());
  byId("number").addEventListener("change", (event) => {
    const i = Math.round(Number(event.target.value)) - 1;
    if (i >= 0 && i < n) choose(i);
  });
  if (moved) byId("times").addEventListener("change", draw);
  byId("save").addEventListener("click", () => {
    if (!viewer) return;
    const link = document.createElement("a");
    link.href = viewer.pngURI();
    link.download = "model.png";
    link.click();
  });
  byId("view").addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"],
    };
    if (!viewer || event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) viewer.rotate(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
    else if (event.key === "-") viewer.zoom(1 / 1.2);
    else if (event.key === "0") reset();
    else return;
    viewer.render();
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("button[data-copy]"))
    button.addEventListener("click", () => {
      getSelection().selectAllChildren(byId(button.dataset.copy));
      document.execCommand("copy");
      button.textContent = "Copied";
    });
  dark.addEventListener("change", () => {
    if (!viewer) return;
    viewer.setBackgroundColor(ground());
    draw();
  });
  addEventListener("beforeprint", () => {
    if (viewer) byId("print-view").src = viewer.pngURI();
  });
  try {
    start();
  } catch (error) {
    viewer = null;
    legend();
    byId("view").textContent = "This browser draws no 3D (WebGL is off or missing). Everything below works without it.";
  }
  window.hetbuild = { viewer, data, choose, neighbours };
})();
