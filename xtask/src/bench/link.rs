//! The group `link`: handshakes, and connections over loopback.

use super::duel::{Duel, Figure, Once, Runs, Spec};
use super::machine::Cores;
use super::program::{Figures, Primitives, Program, Role};
use super::row::{Better, Measured};
use super::{Outcome, Plan};
use crate::failure::Result;

const HANDSHAKES: Figure = Figure {
    name: "handshakes",
    unit: "handshakes/s",
    better: Better::More,
    of: Figures::handshakes_per_second,
};
const HANDSHAKE_CPU: Figure = Figure {
    name: "CPU, both sides",
    unit: "us each",
    better: Better::Less,
    of: Figures::cpu_us_per_handshake,
};
const P99: Figure =
    Figure { name: "99th percentile", unit: "us", better: Better::Less, of: Figures::p99_us };
const RATE: Figure =
    Figure { name: "rate", unit: "MB/s", better: Better::More, of: Figures::megabytes_per_second };
const BULK_CPU: Figure = Figure {
    name: "CPU, both ends",
    unit: "CPU s/GB",
    better: Better::Less,
    of: Figures::cpu_seconds_per_gigabyte,
};
const LATENCY: Figure =
    Figure { name: "median", unit: "us", better: Better::Less, of: Figures::median_us };
const RPC_CPU: Figure = Figure {
    name: "CPU, both ends",
    unit: "us each",
    better: Better::Less,
    of: Figures::cpu_us_per_round_trip,
};
const IDLE_MEMORY: Figure = Figure {
    name: "idle connection, resident",
    unit: "KiB",
    better: Better::Less,
    of: Figures::resident_kib_each,
};

const SNOW: &str = "snow 0.10";
const RUSTLS: &str = "rustls 0.23, aws-lc-rs, mutual Ed25519";
const TOKIO_RUSTLS: &str = "tokio-rustls 0.26, ChaCha20-Poly1305";
const YAMUX: &str = "yamux 0.14 over libp2p-noise 0.47";
const QUINN: &str = "quinn 0.11, ChaCha20-Poly1305";

const OURS_IK: Role = Role::Handshake(&["--backend", "ours", "--pattern", "ik"]);
const OURS_XX: Role = Role::Handshake(&["--backend", "ours", "--pattern", "xx"]);
const SNOW_IK: Role = Role::Handshake(&["--backend", "snow", "--pattern", "ik"]);
const SNOW_XX: Role = Role::Handshake(&["--backend", "snow", "--pattern", "xx"]);

const BULK: &[&str] = &["bulk"];
const BULK_100: &[&str] = &["bulk", "--streams", "100"];
const RPC: &[&str] = &["rpc"];
const IDLE: &[&str] = &["idle"];

/// The row of a handshake.
const fn handshake(
    primitives: Primitives,
    (ours, theirs): (Role, Role),
    peer: &'static str,
    rows: &'static [Spec],
) -> (Primitives, Duel) {
    (primitives, Duel { ours, theirs, peer, rows, once: None })
}

/// The rows of two stacks that do the same work.
const fn link(
    (ours, theirs): (&'static str, &'static str),
    peer: &'static str,
    work: &'static [&'static str],
    rows: &'static [Spec],
) -> (Primitives, Duel) {
    let duel = Duel {
        ours: Role::Link { stack: ours, work },
        theirs: Role::Link { stack: theirs, work },
        peer,
        rows,
        once: None,
    };
    (Primitives::AwsLcRs, duel)
}

/// The same, with the memory of idle connections beside.
const fn link_and_memory(
    stacks: (&'static str, &'static str),
    peer: &'static str,
    work: &'static [&'static str],
    rows: &'static [Spec],
) -> (Primitives, Duel) {
    let (primitives, duel) = link(stacks, peer, work, rows);
    let once = Once {
        ours: Role::Link { stack: stacks.0, work: IDLE },
        theirs: Role::Link { stack: stacks.1, work: IDLE },
        figure: IDLE_MEMORY,
    };
    (primitives, Duel { once: Some(once), ..duel })
}

const fn handshake_row(name: &'static str, target: f64) -> Spec {
    Spec { name, figure: HANDSHAKES, target, beside: &[P99, HANDSHAKE_CPU] }
}

const fn bulk_row(name: &'static str, target: f64) -> Spec {
    Spec { name, figure: RATE, target, beside: &[BULK_CPU] }
}

const fn rpc_row(name: &'static str, target: f64) -> Spec {
    Spec { name, figure: LATENCY, target, beside: &[P99, RPC_CPU] }
}

/// Every duel of the group, and what ours is built with for it.
const DUELS: &[(Primitives, Duel)] = &[
    handshake(
        Primitives::AwsLcRs,
        (OURS_IK, SNOW_IK),
        SNOW,
        &[handshake_row("handshake_ik_vs_snow", 2.0)],
    ),
    handshake(
        Primitives::AwsLcRs,
        (OURS_XX, SNOW_XX),
        SNOW,
        &[handshake_row("handshake_xx_vs_snow", 2.0)],
    ),
    handshake(
        Primitives::RustCrypto,
        (OURS_IK, SNOW_IK),
        SNOW,
        &[handshake_row("handshake_ik_vs_snow_rustcrypto", 1.0)],
    ),
    handshake(
        Primitives::RustCrypto,
        (OURS_XX, SNOW_XX),
        SNOW,
        &[handshake_row("handshake_xx_vs_snow_rustcrypto", 1.0)],
    ),
    handshake(
        Primitives::AwsLcRs,
        (OURS_XX, Role::Handshake(&["--backend", "rustls"])),
        RUSTLS,
        &[handshake_row("handshake_xx_vs_rustls", 1.3)],
    ),
    link(
        ("ours-tcp", "tokio-rustls"),
        TOKIO_RUSTLS,
        BULK,
        &[bulk_row("bulk_tcp_vs_tokio_rustls", 0.95)],
    ),
    link(
        ("ours-tcp", "yamux-noise"),
        YAMUX,
        BULK,
        &[
            Spec { beside: &[], ..bulk_row("bulk_tcp_vs_yamux_noise", 1.6) },
            Spec {
                name: "bulk_tcp_cpu_vs_yamux_noise",
                figure: BULK_CPU,
                target: 1.6,
                beside: &[],
            },
        ],
    ),
    link(
        ("ours-tcp", "yamux-noise"),
        YAMUX,
        BULK_100,
        &[bulk_row("bulk_tcp_100_vs_yamux_noise", 1.4)],
    ),
    link_and_memory(
        ("ours-tcp", "tokio-rustls"),
        TOKIO_RUSTLS,
        RPC,
        &[rpc_row("rpc_16k_vs_tokio_rustls", 1.0)],
    ),
    link_and_memory(
        ("ours-tcp", "yamux-noise"),
        YAMUX,
        RPC,
        &[rpc_row("rpc_16k_vs_yamux_noise", 1.05)],
    ),
    link_and_memory(("ours-quic", "quinn"), QUINN, BULK, &[bulk_row("bulk_quic_vs_quinn", 0.95)]),
];

/// The names of all rows.
pub(super) fn rows() -> Vec<&'static str> {
    DUELS.iter().flat_map(|(_, duel)| duel.rows).map(|spec| spec.name).collect()
}

/// Measures the rows that are wanted; one that fails does not stop the others.
///
/// # Errors
///
/// The program does not build.
pub(super) fn measure(plan: &Plan<'_>) -> Result<Outcome> {
    let cores = Cores::choose();
    let mut outcome = Outcome::default();
    for primitives in [Primitives::AwsLcRs, Primitives::RustCrypto] {
        let duels: Vec<_> = wanted(plan, primitives).collect();
        if duels.is_empty() {
            continue;
        }
        let program = Program::build(primitives, cores)?;
        for duel in duels {
            let names: Vec<_> = duel.rows.iter().map(|spec| spec.name).collect();
            match measure_one(plan, &program, duel) {
                Ok(rows) => outcome.rows.extend(rows),
                Err(failure) => outcome.failures.push(format!("{}: {failure}", names.join(", "))),
            }
        }
    }
    Ok(outcome)
}

fn wanted<'a>(plan: &'a Plan<'_>, with: Primitives) -> impl Iterator<Item = &'static Duel> + 'a {
    let duels = DUELS.iter().filter(move |(primitives, _)| *primitives == with);
    duels.map(|(_, duel)| duel).filter(|duel| duel.rows.iter().any(|spec| plan.wants(spec.name)))
}

fn measure_one(plan: &Plan<'_>, program: &Program, duel: &Duel) -> Result<Vec<Measured>> {
    let mut runs = Runs::default();
    for pair in 1..=plan.pairs {
        eprintln!("bench: {} ({pair} of {})", duel.rows[0].name, plan.pairs);
        runs.ours.push(program.play(&duel.ours)?);
        if plan.compare {
            runs.theirs.push(program.play(&duel.theirs)?);
        }
    }
    let specs = duel.rows.iter().filter(|spec| plan.wants(spec.name));
    let mut rows: Vec<_> = specs.filter_map(|spec| spec.row(duel.peer, &runs)).collect();
    if let (Some(once), Some(first)) = (&duel.once, rows.first_mut()) {
        let mut runs = Runs { ours: vec![program.play(&once.ours)?], theirs: Vec::new() };
        if plan.compare {
            runs.theirs.push(program.play(&once.theirs)?);
        }
        first.beside.extend(once.figure.beside(&runs));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_rows_have_one_name() {
        let names = rows();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
