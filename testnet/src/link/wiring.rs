//! What a network of machines in namespaces consists of: names, addresses, and the commands that build it and make its cables fail.
//!
//! Pure: it runs nothing and looks at nothing. Every node has two cables: `eth0` to a switch that only nodes are at, and `eth1` to this side, where units,
//! residents and whoever looks at it are; so what is done to nodes is not done to people. The switch is a bridge in a namespace of its own, out of reach of what
//! this machine's firewall does with bridged packets, and all of it goes with its namespaces. Called by [`super::namespaces`].

use std::{fmt, net::Ipv4Addr, time::Duration};

use super::Cable;

/// How many machines a network may have: as many as it has addresses for at `eth1`, which are four each.
pub const MAX_MACHINES: usize = 32;

/// Where networks lie: the addresses that RFC 2544 sets apart for tests of networks, which hardly anybody routes.
pub const RANGE: &str = "198.18.0.0/15";
const RANGE_BEGINS: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const NETWORKS: u32 = 512;
const NETWORK_BITS: u32 = 24;

/// What names of namespaces begin with.
const PREFIX: &str = "commonwatt-";

/// An address that no cable has: what is sent to it, the switch carries to everybody and nobody takes.
const NOBODY: &str = "02:63:77:ff:ff:ff";

/// What a full frame has, bits: of these a narrow line carries one in the time by which a late one is late.
const FRAME_BITS: u64 = 1_514 * 8;

/// What a narrow line keeps for later, bytes; what comes then is lost.
const NARROW_QUEUE: &str = "32kb";

/// The network of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// Of the process that made it: whose is gone, whose network is nobody's.
    pub pid: u32,
    /// How many machines.
    pub nodes: usize,
    /// The first address of 256.
    pub network: Ipv4Addr,
}

/// Where a node is at home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// The namespace that it is started in.
    pub namespace: String,
    /// Its address among nodes.
    pub between_nodes: Ipv4Addr,
    /// Its address for units and residents.
    pub for_people: Ipv4Addr,
}

/// How the kernel makes a cable slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slowness {
    /// Everything comes so much later (netem).
    Late,
    /// So little is carried in a second that a full frame takes so long (tbf): what is more waits, and is lost where too much does.
    Narrow,
}

/// A command of iproute2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// `ip`, `tc` or `ss`.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads: with `-batch -` one command a line.
    pub input: String,
}

impl Run {
    pub fn new(program: &'static str, args: &[&str]) -> Self {
        Self { program, args: args.iter().map(|arg| (*arg).to_owned()).collect(), input: String::new() }
    }

    /// `ip`, in a namespace if not in ours, with these lines.
    fn batch(namespace: Option<&str>, lines: &[String]) -> Self {
        let mut args = namespace.map_or_else(Vec::new, |namespace| vec!["-n", namespace]);
        args.extend(["-batch", "-"]);
        let input = lines.iter().map(|line| format!("{line}\n")).collect();
        Self { input, ..Self::new("ip", &args) }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program, self.args.join(" "))?;
        if !self.input.is_empty() {
            write!(f, " ({})", self.input.trim_end().replace('\n', "; "))?;
        }
        Ok(())
    }
}

/// The process whose network a namespace belongs to, where it is one of ours.
pub fn owner_of(namespace: &str) -> Option<u32> {
    let (pid, place) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (plain(pid) && (place == "switch" || plain(place))).then(|| pid.parse().ok()).flatten()
}

/// The first network for a process that nothing is routed to; routes as `ip` writes them, the default left out.
pub fn free_network<'a>(pid: u32, routes: impl Iterator<Item = &'a str> + Clone) -> Option<Ipv4Addr> {
    let taken = |network: u32| routes.clone().filter_map(prefix).any(|(address, bits)| overlap(network, (address, bits)));
    let networks = (0..NETWORKS).map(|number| pid.wrapping_add(number) % NETWORKS);
    networks.map(|number| RANGE_BEGINS + (number << (32 - NETWORK_BITS))).find(|network| !taken(*network)).map(Ipv4Addr::from_bits)
}

/// `192.0.2.0/24`, or an address alone.
fn prefix(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().ok()?;
    let bits = bits.parse().ok().filter(|bits| (1..=32).contains(bits))?;
    Some((address.to_bits(), bits))
}

fn overlap(network: u32, (address, bits): (u32, u32)) -> bool {
    let mask = u32::MAX << (32 - bits.min(NETWORK_BITS));
    network & mask == address & mask
}

impl Wiring {
    /// The namespace of the switch.
    pub fn switch(&self) -> String {
        format!("{PREFIX}{}-switch", self.pid)
    }

    /// The namespace of a node.
    pub fn namespace(&self, node: usize) -> String {
        format!("{PREFIX}{}-{node}", self.pid)
    }

    /// All its namespaces.
    pub fn namespaces(&self) -> Vec<String> {
        (0..self.nodes).map(|node| self.namespace(node)).chain([self.switch()]).collect()
    }

    /// This side's end of a node's `eth1`; the kernel allows 15 characters.
    pub fn our_end(&self, node: usize) -> String {
        format!("cw{}h{node}", self.pid)
    }

    /// Where a node is at home.
    pub fn machine(&self, node: usize) -> Machine {
        let place = place(node);
        Machine { namespace: self.namespace(node), between_nodes: self.address(1 + place), for_people: self.address(130 + 4 * place) }
    }

    /// One of the 256 addresses.
    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + number)
    }

    /// What builds it; the namespaces are there already.
    pub fn build(&self) -> Vec<Run> {
        let mut switch = vec!["link add name switch type bridge".to_owned(), "link set switch up".to_owned()];
        let (mut ours, mut machines) = (Vec::new(), Vec::new());
        for node in 0..self.nodes {
            let Machine { namespace, between_nodes, for_people } = self.machine(node);
            switch.push(format!("link add name port{node} type veth peer name eth0 address {} netns {namespace}", hardware(node)));
            switch.push(format!("link set port{node} master switch up"));
            let end = self.our_end(node);
            ours.push(format!("link add name {end} type veth peer name eth1 netns {namespace}"));
            ours.push(format!("addr add {}/30 dev {end}", self.address(129 + 4 * place(node))));
            ours.push(format!("link set {end} up"));
            let lines = [
                "link set lo up".to_owned(),
                format!("addr add {between_nodes}/25 dev eth0"),
                "link set eth0 up".to_owned(),
                format!("addr add {for_people}/30 dev eth1"),
                "link set eth1 up".to_owned(),
            ];
            machines.push(Run::batch(Some(&namespace), &lines));
        }
        let mut all = vec![Run::batch(Some(&self.switch()), &switch), Run::batch(None, &ours)];
        all.extend(machines);
        all
    }

    /// What makes a node know the others as its cables are, by the others' numbers: whatever it was before.
    pub fn lay(&self, node: usize, cables: &[Cable]) -> Run {
        let mut lines = Vec::new();
        for (other, cable) in cables.iter().enumerate().filter(|(other, _)| *other != node) {
            let address = self.machine(other).between_nodes;
            let at = if *cable == Cable::Dead { NOBODY.to_owned() } else { hardware(other) };
            lines.push(format!("neigh replace {address} lladdr {at} dev eth0 nud permanent"));
            lines.push(match cable {
                Cable::Sound | Cable::Slow(_) | Cable::Dead => format!("route replace {address}/32 dev eth0"),
                Cable::Pulled => format!("route replace unreachable {address}/32"),
            });
        }
        Run::batch(Some(&self.namespace(node)), &lines)
    }

    /// What makes a node's `eth0` slow, or quick again. It is one for all the others: the slowest of its cables is what they all are.
    pub fn slow(&self, node: usize, delay: Option<Duration>, slowness: Slowness) -> Run {
        let namespace = self.namespace(node);
        let (late, rate);
        let how: &[&str] = match (delay, slowness) {
            (None, _) => &["noqueue"],
            (Some(delay), Slowness::Late) => {
                late = format!("{}ms", delay.as_millis());
                &["netem", "delay", &late, "limit", "10000"]
            }
            (Some(delay), Slowness::Narrow) => {
                rate = format!("{}bit", kept_per_second(delay));
                &["tbf", "rate", &rate, "burst", "1600", "limit", NARROW_QUEUE]
            }
        };
        let mut run = Run::new("tc", &["-n", &namespace, "qdisc", "replace", "dev", "eth0", "root"]);
        run.args.extend(how.iter().map(|word| (*word).to_owned()));
        run
    }

    /// What breaks a node's connections with these others, and what lists those that stand.
    pub fn break_off(&self, node: usize, others: &[usize]) -> [Run; 2] {
        let namespace = self.namespace(node);
        let whom: Vec<_> = others.iter().map(|other| format!("dst {}", self.machine(*other).between_nodes)).collect();
        let whom = format!("( {} )", whom.join(" or "));
        [Run::new("ss", &["-N", &namespace, "-HKtn", &whom]), Run::new("ss", &["-N", &namespace, "-Htn", "state", "established", &whom])]
    }
}

/// The slowest of cables.
pub fn slowest(cables: &[Cable]) -> Option<Duration> {
    let delay = |cable: &Cable| match cable {
        Cable::Slow(delay) => Some(*delay),
        Cable::Sound | Cable::Dead | Cable::Pulled => None,
    };
    cables.iter().filter_map(delay).max()
}

/// What a line carries in a second of which a full frame takes so long, bits.
fn kept_per_second(delay: Duration) -> u64 {
    let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).max(1);
    (FRAME_BITS * 1_000 / ms).max(1)
}

/// The address of a node's `eth0` at the switch.
fn hardware(node: usize) -> String {
    format!("02:63:77:00:00:{:02x}", place(node))
}

fn place(node: usize) -> u32 {
    u32::try_from(node).expect("there are at most MAX_MACHINES")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring() -> Wiring {
        Wiring { pid: 4_194_304, nodes: 3, network: Ipv4Addr::new(198, 18, 7, 0) }
    }

    #[test]
    fn a_namespace_is_ours_only_by_its_whole_name_and_names_of_cables_fit_into_the_kernel() {
        let wiring = wiring();
        assert_eq!(
            wiring.namespaces(),
            ["commonwatt-4194304-0", "commonwatt-4194304-1", "commonwatt-4194304-2", "commonwatt-4194304-switch"]
        );
        for name in wiring.namespaces() {
            assert_eq!(owner_of(&name), Some(4_194_304), "{name}");
        }
        for name in
            ["commonwatt", "commonwatt-1", "commonwatt-x-0", "commonwatt-1-two", "commonwatt-+1-0", "commonwatt--0", "1-0", "commonwatt-1-"]
        {
            assert_eq!(owner_of(name), None, "{name}");
        }
        for node in 0..MAX_MACHINES {
            assert!(wiring.our_end(node).len() <= 15, "{}", wiring.our_end(node));
        }
    }

    #[test]
    fn no_two_machines_share_an_address_and_none_leaves_its_network() {
        let wiring = wiring();
        assert_eq!(wiring.machine(2).between_nodes, Ipv4Addr::new(198, 18, 7, 3));
        assert_eq!(wiring.machine(2).for_people, Ipv4Addr::new(198, 18, 7, 138));
        let machines = || (0..MAX_MACHINES).map(|node| wiring.machine(node));
        let mut all: Vec<_> = machines().flat_map(|machine| [machine.between_nodes, machine.for_people]).collect();
        assert!(all.iter().all(|address| address.octets()[..3] == [198, 18, 7]));
        assert!(machines().all(|machine| machine.between_nodes.octets()[3] < 128), "beyond the switch's half");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * MAX_MACHINES);
    }

    #[test]
    fn a_network_is_none_that_anything_is_routed_to() {
        let network = |pid, routes: &[&str]| free_network(pid, routes.iter().copied());
        let elsewhere = ["default", "192.0.2.0/24", "127.0.0.1", "nonsense", "198.17.0.0/16"];
        assert_eq!(network(513, &elsewhere), Some(Ipv4Addr::new(198, 18, 1, 0)));
        assert_eq!(network(1, &["198.18.1.128/30", "198.18.2.9"]), Some(Ipv4Addr::new(198, 18, 3, 0)));
        assert_eq!(network(256, &["198.19.0.0/16"]), Some(Ipv4Addr::new(198, 18, 0, 0)));
        assert_eq!(network(1, &["198.0.0.0/8"]), None);
    }

    #[test]
    fn each_state_of_a_cable_is_told_to_the_kernel_whatever_was_before() {
        let wiring = wiring();
        let run = wiring.lay(0, &[Cable::Sound, Cable::Dead, Cable::Pulled]);
        assert_eq!((run.program, run.args.join(" ")), ("ip", "-n commonwatt-4194304-0 -batch -".to_owned()));
        assert_eq!(
            run.input,
            "neigh replace 198.18.7.2 lladdr 02:63:77:ff:ff:ff dev eth0 nud permanent\n\
             route replace 198.18.7.2/32 dev eth0\n\
             neigh replace 198.18.7.3 lladdr 02:63:77:00:00:02 dev eth0 nud permanent\n\
             route replace unreachable 198.18.7.3/32\n"
        );
        let run = wiring.lay(1, &[Cable::Sound, Cable::Sound, Cable::Slow(Duration::from_millis(20))]);
        assert_eq!(
            run.input,
            "neigh replace 198.18.7.1 lladdr 02:63:77:00:00:00 dev eth0 nud permanent\n\
             route replace 198.18.7.1/32 dev eth0\n\
             neigh replace 198.18.7.3 lladdr 02:63:77:00:00:02 dev eth0 nud permanent\n\
             route replace 198.18.7.3/32 dev eth0\n"
        );
        let [broken, standing] = wiring.break_off(2, &[0, 1]);
        assert_eq!(broken.to_string(), "ss -N commonwatt-4194304-2 -HKtn ( dst 198.18.7.1 or dst 198.18.7.2 )");
        assert_eq!(standing.to_string(), "ss -N commonwatt-4194304-2 -Htn state established ( dst 198.18.7.1 or dst 198.18.7.2 )");
    }

    #[test]
    fn a_line_is_late_or_narrow_by_the_slowest_of_its_cables() {
        let wiring = wiring();
        let delay = slowest(&[Cable::Slow(Duration::from_millis(20)), Cable::Slow(Duration::from_millis(150)), Cable::Dead]);
        assert_eq!(slowest(&[Cable::Sound, Cable::Pulled]), None);
        let told = |delay, slowness| wiring.slow(1, delay, slowness).to_string();
        let begin = "tc -n commonwatt-4194304-1 qdisc replace dev eth0 root";
        assert_eq!(told(delay, Slowness::Late), format!("{begin} netem delay 150ms limit 10000"));
        assert_eq!(told(delay, Slowness::Narrow), format!("{begin} tbf rate 80746bit burst 1600 limit 32kb"));
        assert_eq!(told(None, Slowness::Narrow), format!("{begin} noqueue"));
        assert!(kept_per_second(Duration::MAX) > 0 && kept_per_second(Duration::ZERO) > 0);
    }
}
