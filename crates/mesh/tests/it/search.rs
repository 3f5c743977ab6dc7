//! Finding holders through neighbours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use antiphon_mesh::{DropReason, Limits, Mesh, Notice, Output, QueryId};
use antiphon_types::{BlobId, NodeId};
use proptest::prelude::*;

use crate::{RTT, at, crowd, outputs, peer};

const ID: QueryId = QueryId([7; 16]);

fn blob() -> BlobId {
    BlobId::new([3; 32])
}

#[test]
fn a_query_goes_to_so_many_neighbours_and_no_further_than_two_steps() {
    let mut mesh = crowd(40);
    mesh.search(at(0), ID, blob());
    let asked = outputs(&mut mesh);
    assert_eq!(asked.len(), Limits::default().fan_out);
    assert!(asked.iter().all(|output| matches!(
        output,
        Output::Tell { notice: Notice::Query { hops: 2, .. }, .. }
    )));

    let mut other = crowd(40);
    other.handle_query(at(0), peer(1), ID, blob(), 2, false);
    let passed_on = outputs(&mut other);
    assert_eq!(passed_on.len(), Limits::default().fan_out);
    for output in passed_on {
        let Output::Tell { peer: to, notice: Notice::Query { id: ID, hops: 1, .. } } = output
        else {
            panic!("{output:?}");
        };
        assert_ne!(to, peer(1), "not back to where it came from");
    }

    let mut last = crowd(40);
    last.handle_query(at(0), peer(1), ID, blob(), 1, true);
    assert_eq!(
        outputs(&mut last),
        [Output::Tell { peer: peer(1), notice: Notice::Hit { id: ID, holder: None } }]
    );
    // A liar about the distance gets no further either.
    let mut last = crowd(40);
    last.handle_query(at(0), peer(1), ID, blob(), u32::MAX, false);
    assert!(
        outputs(&mut last)
            .iter()
            .all(|sent| matches!(sent, Output::Tell { notice: Notice::Query { hops: 1, .. }, .. }))
    );
}

#[test]
fn a_query_is_handled_once() {
    let mut mesh = crowd(5);
    mesh.handle_query(at(0), peer(1), ID, blob(), 2, true);
    outputs(&mut mesh);
    mesh.handle_query(at(1), peer(1), ID, blob(), 2, true);
    mesh.handle_query(at(1), peer(2), ID, blob(), 2, true);
    mesh.search(at(2), ID, blob());
    assert_eq!(outputs(&mut mesh), []);
}

#[test]
fn answers_go_back_the_way_the_query_came_and_only_from_those_asked() {
    let mut mesh = crowd(5);
    mesh.handle_query(at(0), peer(1), ID, blob(), 2, false);
    outputs(&mut mesh);
    mesh.handle_hit(at(10), peer(2), ID, peer(90));
    let back =
        Output::Tell { peer: peer(1), notice: Notice::Hit { id: ID, holder: Some(peer(90)) } };
    assert_eq!(outputs(&mut mesh), [back]);
    // Again; from the one who asked; about the one who asked; of no query.
    mesh.handle_hit(at(11), peer(3), ID, peer(90));
    mesh.handle_hit(at(11), peer(1), ID, peer(91));
    mesh.handle_hit(at(11), peer(2), ID, peer(1));
    mesh.handle_hit(at(11), peer(2), QueryId([8; 16]), peer(92));
    assert_eq!(outputs(&mut mesh), []);
    for n in 100..200 {
        mesh.handle_hit(at(12), peer(2), ID, peer(n));
    }
    assert_eq!(outputs(&mut mesh).len(), Limits::default().hits_per_query - 1);
}

#[test]
fn a_flood_of_queries_is_not_passed_on_and_ends_with_a_ban() {
    let mut mesh = crowd(10);
    let mut sent = 0;
    for n in 0..2_000_u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        mesh.handle_query(at(u64::from(n)), peer(1), QueryId(id), blob(), 2, false);
        for output in outputs(&mut mesh) {
            match output {
                Output::Tell { notice: Notice::Query { .. }, .. } => sent += 1,
                Output::Drop { peer: gone, reason: DropReason::Flood } => {
                    assert_eq!(gone, peer(1));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(sent <= 25 * Limits::default().fan_out, "{sent} queries passed on");
    assert!(mesh.neighbour(peer(1)).is_none());
    assert!(mesh.banned_until(at(3_000), peer(1)).is_some());
}

#[test]
fn an_old_query_is_forgotten() {
    let mut mesh = crowd(5);
    mesh.handle_query(at(0), peer(1), ID, blob(), 2, false);
    outputs(&mut mesh);
    mesh.handle_query(at(20_000), peer(2), QueryId([9; 16]), blob(), 1, false);
    mesh.handle_hit(at(20_001), peer(2), ID, peer(90));
    assert_eq!(outputs(&mut mesh), []);
}

/// A few nodes with links between them, and messages on their way.
struct Net {
    nodes: BTreeMap<NodeId, Mesh>,
    holders: BTreeSet<NodeId>,
    handled: BTreeMap<NodeId, u32>,
    found: BTreeSet<NodeId>,
    messages: u32,
}

impl Net {
    fn new(links: &[(u8, u8)], holders: &[u8]) -> Self {
        let mut nodes: BTreeMap<NodeId, Mesh> = BTreeMap::new();
        for (a, b) in links.iter().filter(|(a, b)| a != b) {
            for (one, other) in [(a, b), (b, a)] {
                let mesh = nodes.entry(peer(*one)).or_insert_with(|| Mesh::new(Limits::default()));
                mesh.handle_peer_up(at(0), peer(*other), RTT);
            }
        }
        let holders = holders.iter().map(|n| peer(*n)).collect();
        Self { nodes, holders, handled: BTreeMap::new(), found: BTreeSet::new(), messages: 0 }
    }

    fn search(&mut self, from: u8) {
        let Some(mesh) = self.nodes.get_mut(&peer(from)) else { return };
        mesh.search(at(1), ID, blob());
        let mut todo = VecDeque::from([peer(from)]);
        while let Some(node) = todo.pop_front() {
            let mesh = self.nodes.get_mut(&node).unwrap();
            for output in outputs(mesh) {
                self.messages += 1;
                let to = match output {
                    Output::Tell { peer: to, notice: Notice::Query { id, blob, hops } } => {
                        let held = self.holders.contains(&to);
                        let mesh = self.nodes.get_mut(&to).unwrap();
                        mesh.handle_query(at(2), node, id, blob, hops, held);
                        *self.handled.entry(to).or_insert(0) += 1;
                        to
                    }
                    Output::Tell { peer: to, notice: Notice::Hit { id, holder } } => {
                        let mesh = self.nodes.get_mut(&to).unwrap();
                        mesh.handle_hit(at(3), node, id, holder.unwrap_or(node));
                        to
                    }
                    Output::Found { holder, .. } => {
                        assert_eq!(node, peer(from));
                        assert!(self.found.insert(holder), "found twice");
                        continue;
                    }
                    _ => continue,
                };
                todo.push_back(to);
            }
        }
    }

    /// Those within so many steps of a node.
    fn within(&self, from: u8, steps: u32) -> BTreeSet<NodeId> {
        let mut near = BTreeSet::from([peer(from)]);
        for _ in 0..steps {
            let next = near.iter().filter_map(|node| self.nodes.get(node));
            let next: Vec<NodeId> =
                next.flat_map(|mesh| mesh.neighbours().map(|(peer, _)| peer)).collect();
            near.extend(next);
        }
        near
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// With no more neighbours than the fan-out, a search finds exactly the holders
    /// within two steps, each once, and ends.
    #[test]
    fn a_search_finds_who_is_near_and_nobody_else(
        links in prop::collection::vec((0_u8..14, 0_u8..14), 1..40),
        holders in prop::collection::vec(0_u8..14, 0..6),
    ) {
        let mut net = Net::new(&links, &holders);
        let from = links[0].0;
        prop_assume!(links[0].0 != links[0].1);
        prop_assume!(net.nodes.values().all(|mesh| mesh.neighbours().len() <= 12));
        net.search(from);
        let mut expected = net.within(from, 2);
        expected.retain(|node| net.holders.contains(node) && *node != peer(from));
        prop_assert_eq!(&net.found, &expected);
        prop_assert!(net.messages < 14 * 13 * 3, "{} messages", net.messages);
    }
}
