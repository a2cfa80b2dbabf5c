//! Target `hosts`: machines that are there already and can be reached by SSH. They can be checked and planned in this
//! version, not made yet ([`crate::planned`]).

use crate::planned::PlanOnly;
use forge_engine::kind::Kinds;

macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// The kinds of this target.
        #[must_use]
        pub fn kinds() -> Kinds {
            Kinds::default()$(.with(PlanOnly::<$name::Spec>::new()))*
        }
    };
}

kinds![agent, machine, mount];
