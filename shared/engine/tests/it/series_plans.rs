//! Steps that consist of others, in a plan: order, scopes, outputs, what is refused and what can be skipped.

use slipway_domain::{
    event::TaskEvent,
    order::{Outputs, Work},
    plan::Plan,
    release::Request,
};
use slipway_engine::compile::compile;

use crate::{
    fixture::{request, targets},
    series::doorbell,
    world::{World, holder},
};

fn planned(request: &Request) -> Plan {
    compile(request).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn parts_follow_their_step_in_the_plan_and_give_to_those_after_them() {
    let body = "variables:
  - {name: Who, value: somebody}
  - {name: Who, value: server, scope: {step: serve}}
steps:
  - {name: first, wait: 0s}
  - name: web
    needs: [first]
    targets: {role: web}
    steps:
      - {name: serve, docker-run: {package: web, env: {WHO: '#{Who}'}}}
      - {name: probe, docker-job: {package: web, command: ['#{steps.serve.outputs.port}']}}
  - {name: last, needs: [web], docker-job: {package: web, command: ['#{steps.serve.targets[\"web-01\"].outputs.port}']}}";
    let request = request("x", body, targets(2, 1));
    let plan = planned(&request);
    let told: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let whole = step.part_of.as_ref().map(|whole| format!(" of {whole}")).unwrap_or_default();
            format!("{} {}{whole}", step.rank, step.name())
        })
        .collect();
    assert_eq!(told, ["0 first", "1 web", "1 serve of web", "1 probe of web", "2 last"]);
    assert_eq!(plan.digest(), planned(&request).digest());
    let (mut world, id) = World::with(request);
    world.settle();
    world.succeed(id, "first@worker");
    world.settle();
    match doorbell(&world, id, "serve@web-01").order.work {
        Work::DockerRun(run) => assert_eq!(run.env["WHO"], "server"),
        other => panic!("{other:?}"),
    }
    for n in 1..=2 {
        let serve = format!("serve@web-0{n}");
        world.claim(id, &serve, 1);
        let outputs = Outputs::from([("port".to_owned(), serde_json::json!(8080 + n))]);
        world.write(id, &serve, holder("e", 1), TaskEvent::Succeeded { outputs });
    }
    let command = |world: &World, key: &str| match doorbell(world, id, key).order.work {
        Work::DockerJob(job) => job.command.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(command(&world, "probe@web-02"), ["8082"], "of the same target");
    world.succeed(id, "probe@web-01");
    world.succeed(id, "probe@web-02");
    assert_eq!(command(&world, "last@worker"), ["8081"]);
}

#[track_caller]
fn problems(change: impl FnOnce(&mut Request), steps: &str, expected: &[&str]) {
    let mut request = request("x", &format!("steps:\n{steps}"), targets(2, 1));
    change(&mut request);
    assert_eq!(compile(&request).err().unwrap_or_default(), expected);
}

#[test]
fn what_can_not_be_planned_of_a_series_is_said() {
    let same = |_: &mut Request| {};
    let web = |parts: &str| format!("  - {{name: web, targets: {{role: web}}, steps: [{parts}]}}");
    problems(
        same,
        &web(
            "{name: a, docker-run: {package: web, ports: ['80:80']}}, {name: b, docker-run: {package: web, ports: ['80:80']}}",
        ),
        &[
            "step `a` on `web-01` and step `b` on `web-01` both want port 80/tcp of the Docker engine unix:///run/web-01.sock; give one another port, for instance with a variable scoped to the target",
            "step `a` on `web-02` and step `b` on `web-02` both want port 80/tcp of the Docker engine unix:///run/web-02.sock; give one another port, for instance with a variable scoped to the target",
        ],
    );
    problems(
        same,
        &web("{name: a, demo: {message: '#{steps.b.outputs.x}'}}, {name: b, wait: 0s}"),
        &[
            "step `a`: in \"#{steps.b.outputs.x}\": `steps.b.outputs.x`: step `b` has not ended by then; write it before `a`",
        ],
    );
    problems(
        same,
        &format!("{}\n  - {{name: c, demo: {{message: '#{{steps.a.outputs.x}}'}}}}", web("{name: a, wait: 0s}")),
        &[
            "step `c`: in \"#{steps.a.outputs.x}\": `steps.a.outputs.x`: step `a` may not have ended by then; add `web`, which it is a part of, to `needs` of `c`",
        ],
    );
    problems(
        same,
        &format!(
            "{}\n  - {{name: c, needs: [web], demo: {{message: '#{{steps.web.outputs.x}}'}}}}",
            web("{name: a, wait: 0s}")
        ),
        &[
            "step `c`: in \"#{steps.web.outputs.x}\": `steps.web.outputs.x`: `web` gives nothing itself; name the one of its steps that does",
        ],
    );
}

#[test]
fn a_step_or_a_part_of_it_can_be_skipped_unless_it_is_required() {
    let steps = |more: &str| {
        format!(
            "  - {{name: web, targets: {{role: web}}, steps: [{{name: a, wait: 0s}}, {{name: b, wait: 0s{more}}}]}}\n  - {{name: c, needs: [web], wait: 0s}}"
        )
    };
    let skip = |names: &'static [&str]| {
        move |request: &mut Request| request.skip = names.iter().map(|n| n.parse().unwrap()).collect()
    };
    let names =
        |request: &Request| planned(request).steps.iter().map(|step| step.name().to_string()).collect::<Vec<_>>();
    for (skipped, left) in [(&["web"][..], &["c"][..]), (&["a"], &["web", "b", "c"]), (&["a", "b"], &["c"])] {
        let mut request = request("x", &format!("steps:\n{}", steps("")), targets(2, 1));
        request.skip = skipped.iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(names(&request), left, "without {skipped:?}");
    }
    problems(skip(&["b"]), &steps(", required: true"), &["step `b` can not be skipped: it says `required: true`"]);
    problems(
        skip(&["web"]),
        &steps(", required: true"),
        &["step `web` can not be skipped: `b`, a part of it, says `required: true`"],
    );
}
