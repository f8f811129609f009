//! The wanted paths as a tree of names, so that one walk over a document can look for all of them.

use super::Segment;

/// Nodes by number; the root, which is the whole document, is node 0.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    pub(super) nodes: Vec<Node>,
    /// How many different paths end in the tree; each has a slot below this number.
    pub(super) slots: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Where the value found here goes, if a path ends here.
    pub(super) slot: Option<usize>,
    /// Ordered by name.
    pub(super) children: Vec<Child>,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    name: Box<str>,
    /// The element of an array that the same segment means.
    index: Option<usize>,
    pub(super) node: usize,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0 }
    }

    /// Adds a path and says its slot; a path that is there already keeps the slot it has.
    pub(super) fn insert(&mut self, path: &[Segment]) -> usize {
        let mut at = 0;
        for segment in path {
            at = self.child(at, segment);
        }
        match self.nodes[at].slot {
            Some(slot) => slot,
            None => {
                let slot = self.slots;
                self.nodes[at].slot = Some(slot);
                self.slots += 1;
                slot
            }
        }
    }

    fn child(&mut self, parent: usize, segment: &Segment) -> usize {
        let name = segment.text();
        let children = &self.nodes[parent].children;
        match children.binary_search_by(|child| (*child.name).cmp(&*name)) {
            Ok(there) => children[there].node,
            Err(gap) => {
                let node = self.nodes.len();
                let child = Child { index: Segment::index_of(&name), name: name.into(), node };
                self.nodes[parent].children.insert(gap, child);
                self.nodes.push(Node::default());
                node
            }
        }
    }
}

impl Node {
    /// The child for a key of an object.
    pub(super) fn named(&self, key: &[u8]) -> Option<usize> {
        let found = self.children.binary_search_by(|child| child.name.as_bytes().cmp(key)).ok()?;
        Some(self.children[found].node)
    }

    /// The child for an element of an array.
    pub(super) fn at_index(&self, index: usize) -> Option<usize> {
        self.children.iter().find(|child| child.index == Some(index)).map(|child| child.node)
    }

    /// How many elements of an array are worth a look: one more than the greatest index wanted.
    pub(super) fn elements_wanted(&self) -> usize {
        self.children.iter().filter_map(|child| child.index).max().map_or(0, |last| last.saturating_add(1))
    }
}
