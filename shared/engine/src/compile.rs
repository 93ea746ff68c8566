//! From a request to a plan: which steps take part, on which targets, in which order.
//!
//! All problems are reported at once. The same request always gives the same plan.

mod texts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use petgraph::{
    algo::{tarjan_scc, tred},
    graph::{DiGraph, NodeIndex},
    visit::{EdgeRef, IntoEdgeReferences},
};
use slipway_domain::{
    manifest::{Action, Step, with_children},
    name::{StepName, TargetName},
    plan::{Plan, PlannedStep, Runs},
    release::{Request, TargetSnapshot},
    text::did_you_mean,
};

use crate::{containers, ports};

use texts::check_texts;
pub(crate) use texts::used_names;

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
    let plan = Plan { steps: with_parts(request, arrange(steps, &placed)) };
    check_texts(request, &plan, &mut problems);
    if problems.is_empty() {
        problems.extend(ports::conflicts(request, &plan));
        problems.extend(containers::problems(request, &plan));
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// Names that are used twice or name nothing.
pub fn check_names(steps: &[Step]) -> Vec<String> {
    let mut problems = Vec::new();
    let known: BTreeSet<&str> = steps.iter().map(|s| s.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for step in with_children(steps) {
        if !seen.insert(&step.name) {
            problems.push(format!("two steps are called `{}`; give each its own name", step.name));
        }
        for need in step.needs.iter().filter(|n| !known.contains(n.as_str())) {
            let hint = match parent_of(steps, need) {
                Some(parent) => format!(", only a part of `{}`: need that", parent.name),
                None => did_you_mean(need.as_str(), known.iter().copied()),
            };
            problems.push(format!("step `{}` needs `{need}`, which is no step of the process{hint}", step.name));
        }
    }
    problems
}

/// The step that a child belongs to.
fn parent_of<'a>(steps: &'a [Step], child: &StepName) -> Option<&'a Step> {
    steps.iter().find(|step| step.children().iter().any(|other| other.name == *child))
}

/// Steps to be skipped that do not exist, or that nobody may skip.
fn wrong_skips(request: &Request) -> Vec<String> {
    let steps = || with_children(&request.release.steps);
    let wrong = |name: &StepName| match steps().find(|step| step.name == *name) {
        None => Some(format!(
            "the process has no such step{}",
            did_you_mean(name.as_str(), steps().map(|s| s.name.as_str()))
        )),
        Some(step) if step.required => Some("it says `required: true`".to_owned()),
        Some(step) => {
            let part = step.children().iter().find(|part| part.required)?;
            Some(format!("`{}`, a part of it, says `required: true`", part.name))
        }
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

/// Where each step runs; `None` for steps that this environment or channel leaves out, alone or with all their parts.
fn place(request: &Request, problems: &mut Vec<String>) -> Vec<Option<Runs>> {
    let is_here = |step: &Step| {
        let parts = step.children();
        takes_part(request, step) && (parts.is_empty() || parts.iter().any(|part| takes_part(request, part)))
    };
    let mut place = |step: &Step| place_step(request, step).map_err(|problem| problems.push(problem)).ok();
    request.release.steps.iter().map(|step| is_here(step).then(|| place(step)).flatten()).collect()
}

/// Whether a step is for this environment and channel, and not to be skipped.
fn takes_part(request: &Request, step: &Step) -> bool {
    let here = step.when.environments.as_ref().is_none_or(|e| e.contains(&request.environment))
        && step.when.channels.as_ref().is_none_or(|c| c.contains(&request.release.channel));
    here && !request.skip.contains(&step.name)
}

/// The plan with those steps that consist of others followed by them. They run on the same targets, also as far as
/// scopes of variables go.
fn with_parts(request: &Request, arranged: Vec<PlannedStep>) -> Vec<PlannedStep> {
    let mut planned = Vec::with_capacity(arranged.len());
    for mut whole in arranged {
        let Action::Steps(parts) = &mut whole.step.action else {
            planned.push(whole);
            continue;
        };
        let (parts, name) = (std::mem::take(parts), whole.name().clone());
        let (targets, runs, rank) = (whole.step.targets.clone(), whole.runs.clone(), whole.rank);
        planned.push(whole);
        planned.extend(parts.into_iter().filter(|part| takes_part(request, part)).map(|part| PlannedStep {
            step: Step { targets: targets.clone(), ..part },
            runs: runs.clone(),
            rank,
            part_of: Some(name.clone()),
        }));
    }
    planned
}

fn place_step(request: &Request, step: &Step) -> Result<Runs, String> {
    let kind = step.action.kind();
    match (&step.action, &step.targets) {
        (Action::Approval(_) | Action::Slack(_), Some(_)) => {
            Err(format!("step `{}` is of kind {kind}, which runs on no target; remove `targets`", step.name))
        }
        (Action::Steps(_), None) => {
            Err(format!("the steps of `{}` follow each other on each target; add `targets` to it", step.name))
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
        planned.push(PlannedStep { step, runs, rank: rank[i], part_of: None });
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

/// For each step of a plan, every step before it, by index. Before a part of a step is what is before all of it, and the
/// parts that it follows.
pub fn ancestors(plan: &Plan) -> Vec<BTreeSet<usize>> {
    let index: BTreeMap<&StepName, usize> = plan.steps.iter().enumerate().map(|(i, s)| (s.name(), i)).collect();
    let mut all: Vec<BTreeSet<usize>> = Vec::with_capacity(plan.steps.len());
    for (i, planned) in plan.steps.iter().enumerate() {
        let mut mine = BTreeSet::new();
        if let Some(whole) = planned.part_of.as_ref().and_then(|name| index.get(name)) {
            mine.extend(all[*whole].iter().copied());
            mine.extend(whole + 1..i);
        }
        for need in planned.step.needs.iter().filter_map(|need| index.get(need)) {
            mine.insert(*need);
            mine.extend(parts(plan, *need));
            mine.extend(all[*need].iter().copied());
        }
        all.push(mine);
    }
    all
}

/// The parts of the step at a place of a plan, by index, in the order in which they follow each other.
pub fn parts(plan: &Plan, i: usize) -> Range<usize> {
    let name = plan.steps[i].name();
    let parts = plan.steps[i + 1..].iter().take_while(|other| other.part_of.as_ref() == Some(name));
    i + 1..i + 1 + parts.count()
}

/// The targets of a request by name.
pub(crate) fn snapshots(request: &Request) -> HashMap<&TargetName, &TargetSnapshot> {
    request.targets.iter().map(|target| (&target.name, target)).collect()
}
