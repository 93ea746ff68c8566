//! From a request to a plan: which steps take part, on which targets, in which order.
//!
//! All problems are reported at once. The same request always gives the same plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::{
    algo::{tarjan_scc, tred},
    graph::{DiGraph, NodeIndex},
    visit::{EdgeRef, IntoEdgeReferences},
};
use serde_json::Value;
use slipway_domain::{
    manifest::{Action, Step},
    name::{StepName, TargetName},
    plan::{Plan, PlannedStep, Runs},
    release::{Request, TargetSnapshot},
    text::did_you_mean,
};

use crate::{order, ports, template, variables};

/// Compiles a request. Errs with every problem, each a sentence for the person who asked.
pub fn compile(request: &Request) -> Result<Plan, Vec<String>> {
    let steps = &request.release.steps;
    let mut problems = check_names(steps);
    problems.extend(cycles(steps));
    if !problems.is_empty() {
        return Err(problems);
    }
    problems.extend(wrong_skips(request));
    let placed = place(request, &mut problems);
    let plan = Plan { steps: arrange(steps, &placed) };
    check_texts(request, &plan, &mut problems);
    if problems.is_empty() {
        problems.extend(ports::conflicts(request, &plan));
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// Names that are used twice or name nothing.
pub fn check_names(steps: &[Step]) -> Vec<String> {
    let mut problems = Vec::new();
    let known: BTreeSet<&str> = steps.iter().map(|s| s.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for step in steps {
        if !seen.insert(&step.name) {
            problems.push(format!("two steps are called `{}`; give each its own name", step.name));
        }
        for need in step.needs.iter().filter(|n| !known.contains(n.as_str())) {
            let hint = did_you_mean(need.as_str(), known.iter().copied());
            problems.push(format!("step `{}` needs `{need}`, which is no step of the process{hint}", step.name));
        }
    }
    problems
}

/// Steps to be skipped that do not exist, or that nobody may skip.
fn wrong_skips(request: &Request) -> Vec<String> {
    let steps = &request.release.steps;
    let wrong = |name: &StepName| match steps.iter().find(|step| step.name == *name) {
        None => Some(format!(
            "the process has no such step{}",
            did_you_mean(name.as_str(), steps.iter().map(|s| s.name.as_str()))
        )),
        Some(step) if step.required => Some("it says `required: true`".to_owned()),
        Some(_) => None,
    };
    let skips = request.skip.iter();
    skips.filter_map(|name| Some(format!("step `{name}` can not be skipped: {}", wrong(name)?))).collect()
}

/// Every cycle among `needs`, each named with its steps.
pub fn cycles(steps: &[Step]) -> Vec<String> {
    let graph = graph(steps);
    let mut found: Vec<Vec<usize>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1 || graph.contains_edge(component[0], component[0]))
        .map(|component| cycle_through(&graph, &component))
        .collect();
    found.sort();
    found
        .into_iter()
        .map(|cycle| {
            let names: Vec<_> = cycle.iter().chain(cycle.first()).map(|i| steps[*i].name.as_str()).collect();
            format!("steps need each other in a circle: {}; remove one `needs`", names.join(" -> "))
        })
        .collect()
}

/// The steps as a graph; an edge leads from a step to one that needs it.
fn graph(steps: &[Step]) -> DiGraph<usize, ()> {
    let mut graph = DiGraph::new();
    let index: BTreeMap<&StepName, NodeIndex> =
        steps.iter().enumerate().map(|(i, step)| (&step.name, graph.add_node(i))).collect();
    for step in steps {
        for need in &step.needs {
            if let Some(from) = index.get(need) {
                graph.update_edge(*from, index[&step.name], ());
            }
        }
    }
    graph
}

/// One cycle inside a strongly connected component, as "needs" edges, from its first step.
fn cycle_through(graph: &DiGraph<usize, ()>, component: &[NodeIndex]) -> Vec<usize> {
    let inside: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let start = *inside.first().expect("invariant: a component has a node");
    // Shortest way from the start back to itself along `needs` (against the edges).
    let mut from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut needs: Vec<_> = graph.neighbors_directed(node, petgraph::Direction::Incoming).collect();
        needs.sort();
        for need in needs.into_iter().filter(|n| inside.contains(n)) {
            if need == start {
                let mut path = vec![graph[node]];
                let mut at = node;
                while at != start {
                    at = from[&at];
                    path.push(graph[at]);
                }
                path.reverse();
                return path;
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = from.entry(need) {
                entry.insert(node);
                queue.push_back(need);
            }
        }
    }
    component.iter().map(|n| graph[*n]).collect()
}

/// Where each step runs; `None` for steps that this environment or channel leaves out.
fn place(request: &Request, problems: &mut Vec<String>) -> Vec<Option<Runs>> {
    request
        .release
        .steps
        .iter()
        .map(|step| {
            let here = step.when.environments.as_ref().is_none_or(|e| e.contains(&request.environment))
                && step.when.channels.as_ref().is_none_or(|c| c.contains(&request.release.channel));
            if !here || request.skip.contains(&step.name) {
                return None;
            }
            place_step(request, step).map_err(|problem| problems.push(problem)).ok()
        })
        .collect()
}

fn place_step(request: &Request, step: &Step) -> Result<Runs, String> {
    let kind = step.action.kind();
    match (&step.action, &step.targets) {
        (Action::Approval(_) | Action::Slack(_), Some(_)) => {
            Err(format!("step `{}` is of kind {kind}, which runs on no target; remove `targets`", step.name))
        }
        (Action::Approval(_), None) => Ok(Runs::Gate),
        (Action::Slack(_), None) => Ok(Runs::On(vec![TargetName::notifier()])),
        (_, None) => Ok(Runs::On(vec![TargetName::worker()])),
        (_, Some(selector)) => {
            let targets: Vec<TargetName> =
                request.targets.iter().filter(|t| t.roles.contains(&selector.role)).map(|t| t.name.clone()).collect();
            if targets.is_empty() {
                let roles = request.targets.iter().flat_map(|t| &t.roles).map(|r| r.as_str());
                let hint = did_you_mean(selector.role.as_str(), roles);
                return Err(format!(
                    "step `{}` runs on targets with role `{}`, but environment `{}` has none{hint}; add the role to a Target of the environment",
                    step.name, selector.role, request.environment
                ));
            }
            Ok(Runs::On(targets))
        }
    }
}

/// The steps that take part, each after all it needs, with reduced needs and ranks.
fn arrange(steps: &[Step], placed: &[Option<Runs>]) -> Vec<PlannedStep> {
    let graph = without_absent(graph(steps), placed);
    let order = stable_order(&graph);
    let (list, revmap) = tred::dag_to_toposorted_adjacency_list::<_, u32>(&graph, &order);
    let (reduced, _) = tred::dag_transitive_reduction_closure(&list);
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for edge in (&reduced).edge_references() {
        let (from, to) = (order[edge.source() as usize], order[edge.target() as usize]);
        needs[graph[to]].push(graph[from]);
    }
    debug_assert_eq!(revmap.len(), order.len());
    let mut rank = vec![0_u32; steps.len()];
    let mut planned = Vec::new();
    for node in order {
        let i = graph[node];
        let Some(runs) = placed[i].clone() else { continue };
        rank[i] = needs[i].iter().map(|n| rank[*n] + 1).max().unwrap_or(0);
        needs[i].sort_unstable();
        let mut step = steps[i].clone();
        step.needs = needs[i].iter().map(|n| steps[*n].name.clone()).collect();
        planned.push(PlannedStep { step, runs, rank: rank[i] });
    }
    planned
}

/// Takes the steps out that do not take part; who needed them needs what they needed.
fn without_absent(mut graph: DiGraph<usize, ()>, placed: &[Option<Runs>]) -> DiGraph<usize, ()> {
    for node in graph.node_indices().collect::<Vec<_>>() {
        if placed[graph[node]].is_some() {
            continue;
        }
        let before: Vec<_> = graph.neighbors_directed(node, petgraph::Direction::Incoming).collect();
        let after: Vec<_> = graph.neighbors(node).collect();
        for from in &before {
            for to in &after {
                graph.update_edge(*from, *to, ());
            }
        }
        graph.retain_edges(|g, e| g.edge_endpoints(e).is_some_and(|(a, b)| a != node && b != node));
    }
    graph
}

/// A topological order that keeps the order of the manifest where the graph leaves it open.
fn stable_order(graph: &DiGraph<usize, ()>) -> Vec<NodeIndex> {
    let mut open: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, petgraph::Direction::Incoming).count()).collect();
    let mut free: BTreeSet<NodeIndex> = graph.node_indices().filter(|n| open[n.index()] == 0).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(node) = free.pop_first() {
        order.push(node);
        for edge in graph.edges(node) {
            let next = edge.target();
            open[next.index()] -= 1;
            if open[next.index()] == 0 {
                free.insert(next);
            }
        }
    }
    order
}

/// Names in texts that nothing will ever give a value, and packages and teams that do not exist.
fn check_texts(request: &Request, plan: &Plan, problems: &mut Vec<String>) {
    let before = ancestors(plan);
    let nobody = Vec::new();
    let snapshots = snapshots(request);
    for (i, planned) in plan.steps.iter().enumerate() {
        let step = &planned.step;
        for package in order::packages(&step.action) {
            if !request.release.packages.contains_key(package) {
                let known = request.release.packages.keys().map(|p| p.as_str());
                let hint = did_you_mean(package.as_str(), known);
                problems.push(format!(
                    "step `{}` uses package `{package}`, which the release does not have{hint}",
                    step.name
                ));
            }
        }
        let targets = match &planned.runs {
            Runs::On(targets) => targets.clone(),
            Runs::Gate => vec![TargetName::notifier()],
        };
        let mut found = BTreeSet::new();
        for target in &targets {
            let roles = snapshots.get(target).map_or(&nobody, |t| &t.roles);
            let place = variables::Place::of(request, step, target, roles);
            let earlier: Vec<&str> = before[i].iter().map(|a| plan.steps[*a].name().as_str()).collect();
            let condition = step.when.condition.iter().map(|text| (text.as_str(), no_secrets(request, place, text)));
            let texts = order::texts(step).into_iter();
            for (text, result) in
                texts.map(|text| (text, check_text(request, place, text, plan, &earlier))).chain(condition)
            {
                if let Err(problem) = result {
                    found.insert(format!("step `{}`: in \"{}\": {problem}", step.name, shorten(text)));
                }
            }
        }
        problems.extend(found);
    }
}

fn shorten(text: &str) -> String {
    let line: String = text.chars().take(80).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

/// Renders a text with stand-ins for what only a run can know, to find names without a value.
fn check_text(
    request: &Request,
    place: variables::Place<'_>,
    text: &str,
    plan: &Plan,
    earlier: &[&str],
) -> Result<(), String> {
    let mut dynamic = false;
    for name in used_names(request, text)? {
        let Some(rest) = name.strip_prefix("steps") else { continue };
        dynamic = true;
        let Some(step) = rest.strip_prefix('.').and_then(|r| r.split('.').next()) else { continue };
        if !plan.steps.iter().any(|s| s.name().as_str() == step) {
            let known = plan.steps.iter().map(|s| s.name().as_str());
            return Err(format!("`{name}`: there is no step `{step}` in this plan{}", did_you_mean(step, known)));
        }
        if !earlier.contains(&step) {
            return Err(format!(
                "`{name}`: step `{step}` may not have ended by then; add it to `needs` of `{}`",
                place.step
            ));
        }
    }
    let renderer = variables::Renderer::new(request, place, "succeeded", Value::Object(serde_json::Map::new()));
    match renderer.render(text) {
        Err(_) if dynamic => renderer.check_variables(text),
        Err(problem) => Err(problem),
        Ok(_) => Ok(()),
    }
}

/// Refuses a text that leads to a secret.
fn no_secrets(request: &Request, place: variables::Place<'_>, text: &str) -> Result<(), String> {
    let renderer = variables::Renderer::new(request, place, "succeeded", Value::Null);
    // What is wrong with it otherwise is told by others.
    let definitions = renderer.definitions_of(text).unwrap_or_default();
    match definitions.into_iter().find(|(_, (variable, _))| variable.secret.is_some()) {
        Some((name, _)) => Err(format!(
            "`{name}` is a secret, whose value only executors know; let a condition look at a variable with a value"
        )),
        None => Ok(()),
    }
}

/// The names of a text and of the variables that it leads to.
pub(crate) fn used_names(request: &Request, text: &str) -> Result<BTreeSet<String>, String> {
    let mut all = template::names(text)?;
    let mut queue: Vec<String> = all.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        for (variable, _) in request.release.definitions().filter(|(v, _)| v.name == name) {
            for inner in template::names(variable.value.as_deref().unwrap_or_default())? {
                if all.insert(inner.clone()) {
                    queue.push(inner);
                }
            }
        }
    }
    Ok(all)
}

/// For each step of a plan, every step before it, by index.
pub fn ancestors(plan: &Plan) -> Vec<BTreeSet<usize>> {
    let index: BTreeMap<&StepName, usize> = plan.steps.iter().enumerate().map(|(i, s)| (s.name(), i)).collect();
    let mut all: Vec<BTreeSet<usize>> = Vec::with_capacity(plan.steps.len());
    for planned in &plan.steps {
        let mut mine = BTreeSet::new();
        for need in &planned.step.needs {
            if let Some(i) = index.get(need) {
                mine.insert(*i);
                mine.extend(all[*i].iter().copied());
            }
        }
        all.push(mine);
    }
    all
}

/// The targets of a request by name.
pub(crate) fn snapshots(request: &Request) -> HashMap<&TargetName, &TargetSnapshot> {
    request.targets.iter().map(|target| (&target.name, target)).collect()
}
