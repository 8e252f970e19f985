//! Numbers that have no meaning, and fields that do not go together.

use std::fmt::Display;

use super::choices::{FormatChoice, LengthChoice, MetricChoice, Stage, TakeChoice};
use super::{Error, FileSection, OrderChoice, Recipe};

pub(super) fn require(
    holds: bool,
    field: &'static str,
    expected: &str,
    got: impl Display,
) -> Result<(), Error> {
    let out = || Error::OutOfRange { field, expected: expected.to_owned(), got: got.to_string() };
    if holds { Ok(()) } else { Err(out()) }
}

impl Recipe {
    /// Checks what the file's syntax cannot: ranges, and fields that exclude or need each other.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the first field that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        require(!self.out.as_os_str().is_empty(), "out", "a folder", "nothing")?;
        self.check_paths()?;
        self.check_model()?;
        self.check_data()?;
        self.check_batch()?;
        self.check_train()?;
        self.check_stage()?;
        self.check_validate()
    }

    /// A recipe is a text, in which a path that is none has no place.
    fn check_paths(&self) -> Result<(), Error> {
        let (model, data) = (&self.model, &self.data);
        let files = data.files.iter().flat_map(FileSection::files).map(|path| ("data.files.path", path));
        let valid = data.valid.iter().flat_map(FileSection::files).map(|path| ("data.valid.path", path));
        let others = [
            ("model.folder", model.folder.as_ref()),
            ("model.tokenizer", model.tokenizer.as_ref()),
            ("data.cache", data.cache.as_ref()),
        ];
        let others = others.into_iter().filter_map(|(field, path)| Some((field, path?)));
        let mut all = std::iter::once(("out", &self.out)).chain(others).chain(files).chain(valid);
        all.try_for_each(|(field, path)| {
            require(path.to_str().is_some(), field, "a path in UTF-8", path.display())
        })
    }

    fn check_model(&self) -> Result<(), Error> {
        let model = &self.model;
        let got = match (&model.folder, &model.new) {
            (Some(_), Some(_)) => "both",
            (None, None) => "neither",
            _ => "one",
        };
        require(got == "one", "model.folder", "given, or a section [model.new], not both", got)?;
        let tokenizer = model.tokenizer.is_some() || model.folder.is_some();
        require(tokenizer, "model.tokenizer", "given for a new network", "nothing")?;
        let dropout = model.dropout.unwrap_or(0.0);
        require((0.0..1.0).contains(&dropout), "model.dropout", "in [0, 1)", dropout)?;
        let new = model.new.clone().unwrap_or_default();
        for (field, size) in [
            ("model.new.hidden", new.hidden),
            ("model.new.heads", new.heads),
            ("model.new.positions", new.positions),
        ] {
            require(size > 0, field, "at least 1", size)?;
        }
        require(
            new.hidden.is_multiple_of(new.heads),
            "model.new.hidden",
            "a multiple of model.new.heads",
            new.hidden,
        )?;
        require(
            !(model.trim && self.stage == Stage::Length),
            "model.trim",
            "false for the stage length, which takes the network as it is",
            "true",
        )
    }

    fn check_data(&self) -> Result<(), Error> {
        let data = &self.data;
        require(!data.files.is_empty(), "data.files", "one or more sections [[data.files]]", "none")?;
        let limit = data.limit.unwrap_or(512);
        require(limit >= 3, "data.limit", "at least 3", limit)?;
        require((0.0..1.0).contains(&data.held_out), "data.held_out", "in [0, 1)", data.held_out)?;
        let both = data.held_out > 0.0 && data.valid.is_some();
        require(!both, "data.held_out", "0 beside [data.valid]", data.held_out)?;
        data.files.iter().chain(&data.valid).try_for_each(FileSection::check)?;
        let weighted = data.files.iter().filter(|file| file.weight.is_some()).count();
        require(
            weighted == 0 || weighted == data.files.len(),
            "data.files.weight",
            "given for all files or for none",
            format!("{weighted} of {}", data.files.len()),
        )?;
        require(
            weighted > 0 || data.order == OrderChoice::Shuffled,
            "data.order",
            "\"shuffled\" for files without weights",
            "\"as-given\"",
        )?;
        require(
            weighted == 0 || self.stage != Stage::Length,
            "data.files.weight",
            "left out in the stage length",
            "a mixture",
        )
    }

    fn check_batch(&self) -> Result<(), Error> {
        let batch = &self.batch;
        let both = batch.sequences.is_some() && batch.tokens.is_some();
        require(!both, "batch.tokens", "left out beside batch.sequences", "both")?;
        require(batch.sequences != Some(0), "batch.sequences", "at least 1", 0)?;
        require(batch.tokens != Some(0), "batch.tokens", "at least 1", 0)?;
        require(batch.accumulation > 0, "batch.accumulation", "at least 1", 0)?;
        let Some(pack) = batch.pack else { return Ok(()) };
        require(pack >= 3, "batch.pack", "at least 3", pack)?;
        require(!self.is_mixture(), "batch.pack", "left out for a mixture, files with weights", pack)?;
        let packs = matches!(self.stage, Stage::Mlm | Stage::Diffusion | Stage::Autoregressive);
        require(packs, "batch.pack", "left out in the stages ar-to-diffusion and length", pack)
    }

    fn check_train(&self) -> Result<(), Error> {
        let train = &self.train;
        require(train.steps > 0, "train.steps", "at least 1", train.steps)?;
        require(train.log_every > 0, "train.log_every", "at least 1", train.log_every)?;
        require(train.lr > 0.0 && train.lr.is_finite(), "train.lr", "positive", train.lr)?;
        for (field, share) in [
            ("train.beta1", train.beta1),
            ("train.beta2", train.beta2),
            ("train.ema", train.ema),
            ("train.label_smoothing", train.label_smoothing),
        ] {
            require((0.0..1.0).contains(&share), field, "in [0, 1)", share)?;
        }
        require((0.0..=1.0).contains(&train.floor), "train.floor", "in [0, 1]", train.floor)?;
        require(train.clip >= 0.0, "train.clip", "at least 0", train.clip)?;
        require(train.eps > 0.0, "train.eps", "positive", train.eps)?;
        require(train.weight_decay >= 0.0, "train.weight_decay", "at least 0", train.weight_decay)?;
        let smooth = train.label_smoothing > 0.0 && matches!(self.stage, Stage::Mlm | Stage::Length);
        require(!smooth, "train.label_smoothing", "0 in the stages mlm and length", train.label_smoothing)?;
        self.check_counts()?;
        self.check_optimiser()
    }

    /// Batches are counted through all steps, in numbers of 64 bits.
    fn check_counts(&self) -> Result<(), Error> {
        let accumulation = self.batch.accumulation as u64;
        let most = i64::MAX as u64 / accumulation;
        let expected = format!("at most {most}, with {accumulation} batches a step");
        for (field, steps) in [
            ("train.steps", Some(self.train.steps)),
            ("train.warmup_steps", self.train.warmup_steps),
            ("train.decay_steps", self.train.decay_steps),
            ("diffusion.anneal_steps", self.diffusion.anneal_steps),
        ] {
            let steps = steps.unwrap_or(0);
            require(steps <= most, field, &expected, steps)?;
        }
        Ok(())
    }

    /// What the trainer would refuse too, but only when a run has begun.
    fn check_optimiser(&self) -> Result<(), Error> {
        if let Some(muon) = &self.train.muon {
            let momentum = muon.momentum;
            require((0.0..1.0).contains(&momentum), "train.muon.momentum", "in [0, 1)", momentum)?;
            require(muon.weight_decay >= 0.0, "train.muon.weight_decay", "at least 0", muon.weight_decay)?;
            require(muon.iterations > 0, "train.muon.iterations", "at least 1", muon.iterations)?;
        }
        let factor = self.train.guard.map_or(2.0, |guard| guard.factor);
        require(factor > 1.0, "train.guard.factor", "above 1", factor)
    }

    fn check_stage(&self) -> Result<(), Error> {
        let ratio = self.mlm.ratio;
        require(ratio > 0.0 && ratio <= 1.0, "mlm.ratio", "in (0, 1]", ratio)?;
        require(self.diffusion.times > 0, "diffusion.times", "at least 1", 0)?;
        require(self.diffusion.anneal_steps != Some(0), "diffusion.anneal_steps", "at least 1", 0)?;
        require(self.length.classes > 0, "length.classes", "at least 1", 0)?;
        let dropout = self.length.dropout;
        require((0.0..1.0).contains(&dropout), "length.dropout", "in [0, 1)", dropout)
    }

    fn check_validate(&self) -> Result<(), Error> {
        let validate = &self.validate;
        require(validate.steps > 0, "validate.steps", "at least 1", 0)?;
        require(self.checkpoints.every > 0, "checkpoints.every", "at least 1", 0)?;
        require(self.checkpoints.keep > 0, "checkpoints.keep", "at least 1", 0)?;
        self.check_average()?;
        if let MetricChoice::Of(metric) = validate.metric {
            require(
                !metric.needs_likelihood(),
                "validate.metric",
                "\"loss\" or a metric of answers",
                metric,
            )?;
        }
        if self.stage == Stage::Length {
            let loss = validate.metric == MetricChoice::Loss;
            require(loss, "validate.metric", "\"loss\" in the stage length", "another")?;
            let reference = validate.lengths == LengthChoice::Reference;
            require(reference, "validate.lengths", "left out in the stage length", "given")?;
        }
        let judged = self.validates();
        require(
            judged || self.checkpoints.take == TakeChoice::Last,
            "checkpoints.take",
            "\"last\" without validation",
            "\"best\"",
        )?;
        require(
            judged || validate.patience == 0,
            "validate.patience",
            "0 without validation",
            validate.patience,
        )
    }

    fn check_average(&self) -> Result<(), Error> {
        let (checkpoints, ema) = (&self.checkpoints, self.train.ema);
        let (average, keep) = (checkpoints.average, checkpoints.keep);
        let expected = format!("at most {keep}, which checkpoints.keep leaves");
        require(average <= keep, "checkpoints.average", &expected, average)?;
        let alone = average == 0 || (checkpoints.take == TakeChoice::Last && ema <= 0.0);
        require(alone, "checkpoints.average", "0 beside train.ema or take = \"best\"", average)
    }

    /// Whether samples come from several sources at given rates.
    pub(super) fn is_mixture(&self) -> bool {
        self.data.files.iter().any(|file| file.weight.is_some())
    }

    /// Whether there is anything to validate on, and a wish to.
    pub(super) fn validates(&self) -> bool {
        self.validate.every > 0 && (self.data.valid.is_some() || self.data.held_out > 0.0)
    }
}

impl FileSection {
    fn check(&self) -> Result<(), Error> {
        let got = match (self.path.as_os_str().is_empty(), self.paths.is_empty()) {
            (true, true) => "neither",
            (false, false) => "both",
            _ => "one",
        };
        require(got == "one", "data.files.path", "given, or paths, not both", got)?;
        let named = self.paths.iter().all(|path| !path.as_os_str().is_empty());
        require(named, "data.files.paths", "names of files", "an empty one")?;
        let weight = self.weight.unwrap_or(1.0);
        require(weight > 0.0 && weight.is_finite(), "data.files.weight", "positive", weight)?;
        let templates = self.prompt.is_some() || self.response.is_some();
        require(!(templates && self.form.is_some()), "data.files.form", "left out beside templates", "both")?;
        let half = self.prompt.is_some() != self.response.is_some();
        require(!half, "data.files.prompt", "given together with response", "one of them")?;
        let filled = templates || self.form.is_some();
        let fits = matches!(self.format, FormatChoice::Tsv | FormatChoice::Json);
        require(
            fits || !filled,
            "data.files.prompt",
            "left out for a format whose prompts are given; tsv and json take templates and forms",
            "a template or a form",
        )
    }
}
