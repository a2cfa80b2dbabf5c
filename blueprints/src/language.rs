//! The keys of the language as data: what each mapping may hold, with a description of each key.
//!
//! Readers take the names of what they know from here, and `schema` turns the tables into a JSON Schema, so that an editor
//! offers what forge reads.

/// A mapping with a closed set of keys.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in the schema.
    pub(crate) name: &'static str,
    /// Whether values may be expressions.
    pub(crate) open: bool,
    /// The keys, in the order in which people write them. In groups, so that tables can share one.
    pub(crate) groups: &'static [&'static [Key]],
}

/// A key of a [`Table`].
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// As JSON.
    pub(crate) default: Option<&'static str>,
    pub(crate) description: &'static str,
}

/// What may stand under a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Any,
    Text,
    /// Text that matches a regular expression as a whole.
    Pattern(&'static str),
    /// Text, or a number or bool that is taken as it is written.
    Word,
    Bool,
    Number,
    /// A whole number of at least this.
    Count(u32),
    /// A port of TCP.
    Port,
    /// `1h30m`
    Duration,
    /// A string with `${…}` in it.
    Expression,
    Choice(&'static [&'static str]),
    List(&'static Shape),
    Map(&'static Shape),
    /// A mapping whose keys are names that expressions can say.
    Named(&'static Shape),
    /// A mapping whose keys are names of jobs.
    Labelled(&'static Shape),
    /// A mapping from names, or single instances of one, to uses of modules.
    Uses,
    /// A mapping of tags.
    Tags,
    Keys(&'static Table),
    Either(&'static [Shape]),
}

impl Table {
    /// The names of its keys.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys().map(|key| key.name).collect()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().copied().flatten()
    }
}

impl Key {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }
}

const fn key(name: &'static str, shape: Shape, description: &'static str) -> Key {
    Key { name, shape, required: false, default: None, description }
}

/// Names that expressions can say.
pub(crate) const IDENTIFIER: &str = "[a-z][a-z0-9_]*";
/// Names of blueprints, jobs and modules.
pub(crate) const LABEL: &str = "[a-z][a-z0-9-]{0,39}";
/// One instance of a module that `for_each` repeats, as `forge expand` prints it: `gpus[0]`, `gpus["a"]`.
pub(crate) const INSTANCE: &str = r#"[a-z][a-z0-9_]*(\[([0-9]+|"[^"\\]*")\])*"#;
/// Where a module or a resource stands: `gpus`, `gpus[0].fleet`.
pub(crate) const ADDRESS: &str =
    r#"[a-z][a-z0-9_]*(\[([0-9]+|"[^"\\]*")\])*(\.[a-z][a-z0-9_]*(\[([0-9]+|"[^"\\]*")\])*)*"#;
/// `1h30m`
pub(crate) const DURATION: &str = "([0-9]+(ms|s|m|h|d))+";
/// A bucket's address.
pub(crate) const BUCKET: &str = r"s3://[A-Za-z0-9][A-Za-z0-9._-]*|file:///.+";
/// Where the state of a deployment can be kept.
pub(crate) const STATE: &str =
    r"file:///.+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?(\?region=[a-z0-9-]+)?";
/// The URL of a server.
pub(crate) const ENDPOINT: &str = r"https?://[^\s/]+(/\S*)?";
/// A path from the root on.
pub(crate) const ABSOLUTE: &str = "/.*";
/// A module of the user's own, by its directory.
pub(crate) const MODULE_PATH: &str = r"\.{1,2}/.*";
const TARGETS: &[&str] = &["aws", "hosts", "local"];
const TYPES: &[&str] = &["string", "int", "number", "bool", "list", "map"];
const INPUT_TYPES: &[&str] = &["string", "int", "number", "bool", "list", "map", "module"];
const REPEAT: Shape = Shape::Either(&[Shape::List(&Shape::Any), Shape::Map(&Shape::Any)]);

pub(crate) static BLUEPRINT: Table = Table {
    name: "blueprint",
    open: false,
    groups: &[&[
        key("forge", Shape::Choice(&["v1"]), "Version of the language").required(),
        key("name", Shape::Pattern(LABEL), "The deployment's name: its state, its resources and their tags carry it")
            .required(),
        key("target", Shape::Choice(TARGETS), "Where it runs, unless --target says otherwise"),
        key(
            "state",
            Shape::Pattern(STATE),
            "Where what exists is written down: s3://bucket/prefix, or file:///directory, one that everybody shares who works on it",
        ),
        key("tags", Shape::Tags, "Tags of everything that is made and can have tags"),
        key("aws", Shape::Keys(&AWS), "Settings of target aws"),
        key("hosts", Shape::Keys(&HOSTS), "Settings of target hosts: the machines"),
        key("local", Shape::Keys(&LOCAL), "Settings of target local: how much of the cluster runs on this machine"),
        key(
            "vars",
            Shape::Named(&Shape::Keys(&VARIABLE)),
            "Variables, `${vars.NAME}` in expressions; set by --var, --var-file and FORGE_VAR_NAME",
        ),
        key("modules", Shape::Uses, "What the cluster is made of; `${NAME}` and `${NAME.OUTPUT}` in expressions"),
        key("moved", Shape::List(&Shape::Keys(&MOVED)), "What goes by another address than before, and lives on"),
        key("jobs", Shape::Labelled(&Shape::Keys(&JOB)), "What `forge train` runs"),
    ]],
};

pub(crate) static MOVED: Table = Table {
    name: "moved",
    open: false,
    groups: &[&[
        key("from", Shape::Pattern(ADDRESS), "Where it stood: the address of a module or a resource").required(),
        key("to", Shape::Pattern(ADDRESS), "Where it stands now").required(),
    ]],
};

pub(crate) static AWS: Table = Table {
    name: "aws",
    open: true,
    groups: &[&[
        key("region", Shape::Text, "The AWS region, such as us-west-2"),
        key("profile", Shape::Text, "A profile of the AWS configuration files"),
        key("zones", Shape::List(&Shape::Text), "Names of the availability zones to use, in order of preference"),
    ]],
};

pub(crate) static LOCAL: Table = Table {
    name: "local",
    open: true,
    groups: &[&[
        key("nodes", Shape::Count(1), "How many nodes run here, each a process"),
        key("workers_per_node", Shape::Count(1), "How many workers each of them runs"),
    ]],
};

pub(crate) static HOSTS: Table = Table {
    name: "hosts",
    open: true,
    groups: &[
        &[key(
            "machines",
            Shape::List(&Shape::Either(&[Shape::Text, Shape::Keys(&MACHINE)])),
            "The machines; a plain string is an address",
        )
        .required()],
        ACCESS,
        &[
            key("jump", Shape::Text, "A machine through which the others are reached: [user@]address[:port]"),
            key("spares", Shape::Count(0), "How many of them stand by").default("0"),
            key(
                "bucket",
                Shape::Pattern(BUCKET),
                "Where jobs, logs and checkpoints lie: s3://name, or file:///directory that all machines share",
            ),
            key("endpoint", Shape::Pattern(ENDPOINT), "URL of an S3-compatible server"),
            key("scratch", Shape::Pattern(ABSOLUTE), "A directory that all machines share, for data"),
        ],
    ],
};

pub(crate) static MACHINE: Table = Table {
    name: "machine",
    open: true,
    groups: &[
        &[key("address", Shape::Text, "Its name or address").required()],
        ACCESS,
        &[key("labels", Shape::Map(&Shape::Word), "What modules choose machines by, such as pool: h100")],
    ],
};

const ACCESS: &[Key] = &[
    key("user", Shape::Text, "Who logs in there"),
    key("port", Shape::Port, "Port of its SSH server").default("22"),
    key("key", Shape::Text, "File of the private key; the SSH agent's keys when absent"),
];

pub(crate) static VARIABLE: Table = Table {
    name: "variable",
    open: false,
    groups: &[
        &[key("type", Shape::Choice(TYPES), "Its type; may be left out beside `enum`")],
        &RULE_KEYS,
        &[
            key("default", Shape::Any, "Its value when nobody sets it; without one it must be set"),
            key("sensitive", Shape::Bool, "Its value is never shown or stored").default("false"),
        ],
    ],
};

pub(crate) static RULE: Table = Table {
    name: "rule",
    open: false,
    groups: &[&[key("type", Shape::Choice(TYPES), "The type of each item")], &RULE_KEYS],
};

static RULE_KEYS: [Key; 6] = [
    key("min", Shape::Number, "The least value of a number; the least length of a string, list or map"),
    key("max", Shape::Number, "The greatest value of a number; the greatest length of a string, list or map"),
    key("enum", Shape::List(&Shape::Any), "The values that it can have"),
    key("pattern", Shape::Text, "A regular expression that the whole string must match"),
    key("items", Shape::Keys(&RULE), "What each item of a list or value of a map must be"),
    key("description", Shape::Text, "What it is for, on one line"),
];

pub(crate) static USE: Table = Table {
    name: "use",
    open: true,
    groups: &[&[
        key(
            "use",
            Shape::Text,
            "The module: the name of a built-in one, or the path of a directory with module.yaml: ./mine",
        )
        .required(),
        key("with", Shape::Map(&Shape::Any), "The module's inputs"),
        key("when", Shape::Bool, "Whether it is there at all").default("true"),
        key(
            "for_each",
            REPEAT,
            "One instance for each item of a list or entry of a map; `${each.key}`, `${each.value}`",
        ),
        key("protect", Shape::Bool, "Nothing of it is deleted or replaced").default("false"),
        key("depends_on", Shape::List(&Shape::Text), "Modules that come first, where no reference says so"),
    ]],
};

pub(crate) static JOB: Table = Table {
    name: "job",
    open: true,
    groups: &[&[
        key("nodes", Shape::Expression, "The module whose nodes it runs on, as a whole: ${gpus}").required(),
        key("command", Shape::List(&Shape::Word), "The command of each worker, program first; no shell takes it apart")
            .required(),
        key("env", Shape::Map(&Shape::Word), "Environment variables of each worker, besides forge's own"),
        key("workdir", Shape::Text, "The directory that workers start in, relative to the one that is packed"),
        key("checkpoint", Shape::Keys(&CHECKPOINT), "When checkpoints are taken, and which are kept"),
        key("restarts", Shape::Keys(&RESTARTS), "How often the gang may restart before forge gives up"),
        key("hang_after", Shape::Duration, "For how long no worker may finish a step before the gang counts as hung")
            .default("\"10m\""),
    ]],
};

pub(crate) static CHECKPOINT: Table = Table {
    name: "checkpoint",
    open: true,
    groups: &[&[
        key("every_steps", Shape::Count(1), "A checkpoint every so many steps; none when absent"),
        key("keep", Shape::Keys(&KEEP), "Which checkpoints are kept"),
    ]],
};

pub(crate) static KEEP: Table = Table {
    name: "keep",
    open: true,
    groups: &[&[
        key("last", Shape::Count(1), "So many of the newest").default("2"),
        key("powers_of_two", Shape::Bool, "And those whose number is a power of two").default("true"),
    ]],
};

pub(crate) static RESTARTS: Table = Table {
    name: "restarts",
    open: true,
    groups: &[&[
        key("max", Shape::Count(0), "So many times").default("10"),
        key("window", Shape::Duration, "Within this time").default("\"1h\""),
    ]],
};

pub(crate) static MODULE: Table = Table {
    name: "module",
    open: false,
    groups: &[&[
        key("module", Shape::Pattern(LABEL), "The module's name: that of its directory").required(),
        key("description", Shape::Text, "What it is, on one line, without a full stop"),
        key(
            "implements",
            Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]),
            "Modules in whose place it may be passed; it has all their outputs",
        ),
        key("supporting", Shape::Bool, "It only serves other modules: unused, it is a finding").default("false"),
        key("example", Shape::Text, "YAML that `forge docs` shows"),
        key("inputs", Shape::Named(&Shape::Keys(&INPUT)), "What it is told, `${inputs.NAME}` in expressions"),
        key("data", Shape::Map(&Shape::Any), "Constants, `${data.NAME}` in expressions"),
        key("checks", Shape::List(&Shape::Keys(&CHECK)), "What must hold of its inputs"),
        key("targets", Shape::Keys(&ENTRIES), "What it is on each target that it runs on"),
    ]],
};

pub(crate) static INPUT: Table = Table {
    name: "input",
    open: false,
    groups: &[
        &[
            key(
                "type",
                Shape::Choice(INPUT_TYPES),
                "Its type; may be left out beside `enum`. `module` takes the outputs of a module",
            ),
            key("module", Shape::List(&Shape::Text), "The modules that an input of type module takes; any when absent"),
        ],
        &RULE_KEYS,
        &[
            key(
                "default",
                Shape::Any,
                "Its value when the blueprint says none; `only` passes the blueprint's only module of those that it takes",
            ),
            key("optional", Shape::Bool, "It may be left out, and is none then").default("false"),
        ],
    ],
};

pub(crate) static CHECK: Table = Table {
    name: "check",
    open: true,
    groups: &[&[
        key("that", Shape::Expression, "What must be true").required(),
        key("say", Shape::Text, "What is said when it is not").required(),
        key("help", Shape::Text, "What to do then"),
        key("severity", Shape::Choice(&["error", "warning"]), "How bad it is").default("\"error\""),
        key("at", Shape::Text, "The input that it points at; the first that `that` names when absent"),
    ]],
};

pub(crate) static ENTRIES: Table = Table {
    name: "targets",
    open: false,
    groups: &[&[
        key("aws", Shape::Keys(&ENTRY), "What it is on AWS"),
        key("hosts", Shape::Keys(&ENTRY), "What it is on machines reached by SSH"),
        key("local", Shape::Keys(&ENTRY), "What it is on this machine"),
    ]],
};

pub(crate) static ENTRY: Table = Table {
    name: "entry",
    open: false,
    groups: &[&[
        key("lets", Shape::Named(&Shape::Any), "Intermediate values, `${lets.NAME}` in expressions"),
        key("modules", Shape::Uses, "Modules that it is made of; `${NAME}` in expressions"),
        key(
            "resources",
            Shape::Named(&Shape::Keys(&RESOURCE)),
            "Resources that it is made of; `${NAME}` in expressions",
        ),
        key("outputs", Shape::Named(&Shape::Any), "What others can refer to"),
        key("checks", Shape::List(&Shape::Keys(&CHECK)), "What must hold of it on this target"),
        key("notes", Shape::List(&Shape::Keys(&NOTE)), "What users should know"),
    ]],
};

pub(crate) static RESOURCE: Table = Table {
    name: "resource",
    open: true,
    groups: &[&[
        key("kind", Shape::Text, "Its kind, such as aws.subnet").required(),
        key("with", Shape::Map(&Shape::Any), "Its specification"),
        key("when", Shape::Bool, "Whether it is there at all").default("true"),
        key("for_each", REPEAT, "One for each item of a list or entry of a map; `${each.key}`, `${each.value}`"),
        key("protect", Shape::Bool, "It is never deleted or replaced").default("false"),
        key(
            "depends_on",
            Shape::List(&Shape::Text),
            "Resources and modules that come first, where no reference says so",
        ),
    ]],
};

pub(crate) static NOTE: Table = Table {
    name: "note",
    open: true,
    groups: &[&[
        key("when", Shape::Bool, "Whether it is said").default("true"),
        key("say", Shape::Text, "What is said").required(),
    ]],
};
