//! Messages of other versions, and hostile ones, as bytes made by hand.

use antiphon_wire::proto::{self, Message};

/// How deep a tree of messages may be: ours are far flatter.
const MAX_DEPTH: usize = 8;

#[test]
fn f8_groups_within_groups_are_refused_before_the_stack_ends() {
    // Field 15, begin of a group: a prost that recursed would need a frame of
    // the stack for each byte.
    let nested = vec![0x7b; 64 * 1024];
    assert!(proto::Hello::decode(nested.as_slice()).is_err());
    let mut closed = vec![0x7b; 30_000];
    closed.extend(vec![0x7c; 30_000]);
    assert!(proto::Hello::decode(closed.as_slice()).is_err());
}

/// The fields of each generated message that are messages themselves.
fn message_graph() -> Vec<(String, Vec<String>)> {
    let source = include_str!("../../src/generated/antiphon.v1.rs");
    let mut graph: Vec<(String, Vec<String>)> = Vec::new();
    for line in source.lines().map(str::trim) {
        let item = ["pub struct ", "pub enum "].iter().find_map(|begin| line.strip_prefix(begin));
        if let Some(name) = item {
            graph.push((name.trim_end_matches(['{', '}', ' ']).to_owned(), Vec::new()));
        } else if let Some((_, fields)) = graph.last_mut() {
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_owned);
            if !line.starts_with('#') && !line.starts_with("//") {
                fields.extend(words);
            }
        }
    }
    graph
}

fn depth(graph: &[(String, Vec<String>)], name: &str, above: usize) -> usize {
    assert!(above < 32, "{name} contains itself");
    let children = graph.iter().filter(|(of, _)| of == name).flat_map(|(_, fields)| fields);
    let known = |field: &&String| *field != name && graph.iter().any(|(of, _)| of == *field);
    1 + children.filter(known).map(|child| depth(graph, child, above + 1)).max().unwrap_or(0)
}

#[test]
fn f8_no_message_of_ours_is_deep_or_contains_itself() {
    let graph = message_graph();
    assert!(graph.len() > 30, "{} messages found", graph.len());
    assert!(depth(&graph, "Playing", 0) >= 2, "it holds a manifest and peers");
    for (name, _) in graph.iter().filter(|(name, _)| name != "Kind" && name != "Reason") {
        let depth = depth(&graph, name, 0);
        assert!(depth <= MAX_DEPTH, "{name} is {depth} deep");
    }
}
