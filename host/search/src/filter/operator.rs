//! The operators of a filter (RFC 0005): one table, from which the enum, its words and the list of all are made.

/// Makes [`Operator`], so that a new row is in [`Operator::ALL`] and has to be handled by every match.
macro_rules! operators {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal,)+) => {
        /// An operator of a filter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operator {
            $($(#[$doc])+ $variant,)+
        }

        impl Operator {
            /// Every operator.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word for it in a filter.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

operators! {
    /// All of its predicates hold.
    And = "and",
    /// One of its predicates holds.
    Or = "or",
    /// Its predicate does not hold.
    Not = "not",
    /// Both operands are equal.
    Eq = "eq",
    /// Both operands are present and not equal.
    Ne = "ne",
    /// The first operand is greater than the second.
    Gt = "gt",
    /// The first operand is less than the second.
    Lt = "lt",
    /// The first operand is greater than the second, or equal.
    Gte = "gte",
    /// The first operand is less than the second, or equal.
    Lte = "lte",
    /// The text of a reference has a match of a regular expression.
    Regex = "regex",
    /// The reference has a value.
    Exists = "exists",
    /// The value of a reference is in a list.
    In = "in",
    /// The reference has a value, and it is not in a list.
    NotIn = "not_in",
    /// One of the span's events, or links, satisfies a predicate.
    Some = "some",
    /// One text of an attribute has words side by side, in the order of a list.
    Phrase = "phrase",
    /// One text of an attribute has all words of a list, in any order.
    Fulltext = "fulltext",
}

impl Operator {
    /// The operator that a word names.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.word() == word)
    }

    /// The operator that gives the same answer when a comparison's operands are swapped.
    pub(super) fn swapped(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Gte => Self::Lte,
            Self::Lte => Self::Gte,
            Self::Eq
            | Self::Ne
            | Self::And
            | Self::Or
            | Self::Not
            | Self::Regex
            | Self::Exists
            | Self::In
            | Self::NotIn
            | Self::Some
            | Self::Phrase
            | Self::Fulltext => self,
        }
    }
}
