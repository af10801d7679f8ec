//! The condominiums' names, for tables.

use std::collections::BTreeMap;

use ::chain::id::CondominiumId;

use crate::command::{CommandError, Context};

/// What condominiums are called.
#[derive(Default, Debug)]
pub(super) struct Names(BTreeMap<CondominiumId, String>);

impl Names {
    /// Asks the node.
    pub async fn ask(context: &Context) -> Result<Self, CommandError> {
        let known = context.client().condominiums().await?;
        Ok(Self(known.into_iter().map(|view| (view.id, view.condominium.name)).collect()))
    }

    /// One that was typed; no answer is given about a condominium that is not there.
    ///
    /// # Errors
    /// [`CommandError::Failed`] with those that are.
    pub fn known(&self, number: u32) -> Result<CondominiumId, CommandError> {
        let id = CondominiumId(number);
        if self.0.contains_key(&id) {
            return Ok(id);
        }
        let known: Vec<String> = self.0.keys().map(|id| self.of(*id)).collect();
        Err(CommandError::Failed(format!("there is no condominium {number}: this chain has {}", known.join(", "))))
    }

    /// The name alone; nothing where it is not known.
    pub fn name(&self, id: CondominiumId) -> &str {
        self.0.get(&id).map_or("", String::as_str)
    }

    /// Name and number.
    pub fn of(&self, id: CondominiumId) -> String {
        self.0.get(&id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    }
}
