//! The condominiums' names, for tables.

use std::collections::BTreeMap;

use ::chain::id::CondominiumId;

use crate::command::{CommandError, Context};

/// What condominiums are called.
#[derive(Debug)]
pub(super) struct Names(BTreeMap<CondominiumId, String>);

impl Names {
    /// Asks the node.
    pub async fn ask(context: &Context) -> Result<Self, CommandError> {
        let known = context.client().condominiums().await?;
        Ok(Self(known.into_iter().map(|view| (view.id, view.condominium.name)).collect()))
    }

    /// Name and number.
    pub fn of(&self, id: CondominiumId) -> String {
        self.0.get(&id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    }
}
