//! The command lines of `cargo xtask lab`: how a link is to behave.

use std::path::PathBuf;
use std::time::Duration;

use super::link::Options;
use super::shape::Shape;
use super::units::{QueueLength, Rate, Share, parse_time};

/// Arguments of `cargo xtask lab link`.
#[derive(Debug, clap::Args)]
pub struct LinkArgs {
    /// What side A runs, as a shell line.
    #[arg(long, value_name = "COMMAND")]
    pub(super) a: String,
    /// What side B runs, as a shell line.
    #[arg(long, value_name = "COMMAND")]
    pub(super) b: String,
    #[command(flatten)]
    pub(super) link: Shaped,
    /// Do not say at the end what passed.
    #[arg(long)]
    pub(super) quiet: bool,
}

/// How a link is to behave, both ways and each way.
#[derive(Debug, clap::Args)]
pub struct Shaped {
    /// What the link carries each way, in bits of IP packets: 10mbit, 500kbit, unlimited.
    #[arg(long, default_value = "unlimited")]
    rate: Rate,
    /// How long a packet travels, each way: 25ms, 500us.
    #[arg(long, value_parser = parse_time, default_value = "0ms")]
    delay: Duration,
    /// What is added to the delay, uniform from 0 to this.
    #[arg(long, value_parser = parse_time, default_value = "0ms")]
    jitter: Duration,
    /// How often a packet is lost: 1%, 0.5%.
    #[arg(long, default_value = "0%")]
    loss: Share,
    /// What may wait for the link: 100ms, 64kb.
    #[arg(long, default_value = "100ms")]
    queue: QueueLength,
    /// Let jitter bring packets past each other.
    #[arg(long)]
    reorder: bool,
    /// What is drawn for each packet follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every packet that comes out to this file, for `tcpdump -r`.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    #[command(flatten)]
    a_to_b: AToB,
    #[command(flatten)]
    b_to_a: BToA,
}

impl Shaped {
    /// The link that is asked for.
    pub(super) fn options(&self) -> Options {
        let both = Shape {
            rate: self.rate,
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            queue: self.queue,
            reorder: self.reorder,
        };
        Options {
            a_to_b: self.a_to_b.over(both),
            b_to_a: self.b_to_a.over(both),
            seed: self.seed,
            capture: self.capture.clone(),
        }
    }
}

/// Options that hold in one direction and go before those for both.
macro_rules! one_way {
    ($name:ident, $prefix:literal, $heading:literal) => {
        #[derive(Debug, clap::Args)]
        #[command(next_help_heading = $heading)]
        struct $name {
            #[arg(long = concat!($prefix, "-rate"), id = concat!($prefix, "-rate"))]
            #[arg(value_name = "RATE")]
            rate: Option<Rate>,
            #[arg(long = concat!($prefix, "-delay"), id = concat!($prefix, "-delay"))]
            #[arg(value_name = "TIME", value_parser = parse_time)]
            delay: Option<Duration>,
            #[arg(long = concat!($prefix, "-jitter"), id = concat!($prefix, "-jitter"))]
            #[arg(value_name = "TIME", value_parser = parse_time)]
            jitter: Option<Duration>,
            #[arg(long = concat!($prefix, "-loss"), id = concat!($prefix, "-loss"))]
            #[arg(value_name = "SHARE")]
            loss: Option<Share>,
            #[arg(long = concat!($prefix, "-queue"), id = concat!($prefix, "-queue"))]
            #[arg(value_name = "LENGTH")]
            queue: Option<QueueLength>,
        }

        impl $name {
            fn over(&self, both: Shape) -> Shape {
                Shape {
                    rate: self.rate.unwrap_or(both.rate),
                    delay: self.delay.unwrap_or(both.delay),
                    jitter: self.jitter.unwrap_or(both.jitter),
                    loss: self.loss.unwrap_or(both.loss),
                    queue: self.queue.unwrap_or(both.queue),
                    reorder: both.reorder,
                }
            }
        }
    };
}

one_way!(AToB, "a-to-b", "From A to B only");
one_way!(BToA, "b-to-a", "From B to A only");

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: LinkArgs,
    }

    #[test]
    fn what_is_said_for_one_direction_goes_before_what_is_said_for_both() {
        let line = "link --a true --b true --rate 10mbit --delay 25ms --b-to-a-rate 1mbit \
                    --a-to-b-loss 5% --a-to-b-queue 64kb";
        let options = Line::parse_from(line.split_whitespace()).args.link.options();
        assert_eq!(options.a_to_b.rate, Rate::bits_per_second(10_000_000));
        assert_eq!(options.b_to_a.rate, Rate::bits_per_second(1_000_000));
        assert_eq!(options.a_to_b.delay, Duration::from_millis(25));
        assert_eq!(options.b_to_a.delay, Duration::from_millis(25));
        assert_eq!((options.a_to_b.loss, options.b_to_a.loss), (Share(0.05), Share(0.0)));
        assert_eq!(options.a_to_b.queue, QueueLength::Bytes(64_000));
        assert_eq!(options.b_to_a.queue, QueueLength::default());
    }
}
