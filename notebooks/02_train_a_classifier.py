# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train a classifier
#
# Chapter 1 built one block. Now we stack blocks into a network, show it a few thousand pictures
# of clothes, and teach it to name what it sees: dress, hat, longsleeve, pants, shoes, shorts or
# t-shirt.
#
# The article we follow says that its network of three blocks reaches 85% on the validation pictures
# after 10 epochs. We train that network first, for fewer epochs, and write down what it reaches;
# what it reaches after ten was recorded. Then we train our own, just as long.
#
# Three habits run through this chapter. Each is easy to forget:
#
# 1. **Look at the data before training**, and at the mistakes after it.
# 2. **Choose with the validation pictures; measure on the test pictures once**, at the very end.
# 3. **Give every accuracy an interval.** A few hundred pictures cannot tell 86% from 87%.

# %% tags=["hide-input"]
import copy
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from fashionlib import metrics, training
from fashionlib.catalog import load_catalog
from fashionlib.counting import count_parameters
from fashionlib.heads import build_classifier
from fashionlib.inference import pick_device, predict
from fashionlib.pages import plots
from fashionlib.pages.recorded_results import about, recorded
from fashionlib.pages.show import say, show, table
from fashionlib.pages.slider import slider
from fashionlib.settings import budget
from fashionlib.training import set_learning_rate
from fashionlib.transforms import AUGMENTATIONS, augment, to_input

plt.style.use("fashionlib.pages.book")

# %%
catalog = load_catalog(few=budget(False, quick=True))
print(catalog.about)
say(f"This page was made with the **{catalog.name}** catalog, on **{pick_device().type}**.")

# %% [markdown]
# ## Look first: the pictures
#
# A catalog has three splits. The network learns from *train*, we make our choices on
# *validation*, and *test* is for the one accuracy at the end. Until then we look at its pictures
# and count its labels, but show them to no network.

# %% tags=["hide-input"]
first = [torch.nonzero(catalog.train.labels == k)[:8, 0] for k in range(len(catalog.classes))]
figure = plots.picture_grid(catalog.train.images[torch.cat(first)], columns=8, width=8)
show(
    figure,
    alt="Seven rows of eight pictures, one class a row: " + ", ".join(catalog.classes) + ".",
    caption="The first eight training pictures of each class, one class a row. Look at how much "
    "else is in the picture: floors, walls, hangers, people.",
)

# %% [markdown]
# ## Look first: the classes
#
# How many pictures does each split have of each class, and what share is that? A network that
# has met many t-shirts learns to expect t-shirts. Where the mix of classes changes, such an
# expectation costs accuracy.

# %%
figure = plots.class_shares(catalog)
show(figure, alt=plots.class_shares_alt(catalog), caption="How much of each split is which class.")

# %%
commonest = int(torch.bincount(catalog.train.labels).argmax())
shares = [
    metrics.majority_baseline(catalog.train.labels, split.labels)
    for split in catalog.splits.values()
]
say(
    f"The commonest class in train is **{catalog.classes[commonest]}**: {shares[0]:.0%} of train, "
    f"{shares[1]:.0%} of validation and {shares[2]:.0%} of test. Always giving that answer would "
    f"be right for {shares[1]:.1%} of validation and {shares[2]:.1%} of test. This is the "
    "**majority baseline**. Compare every accuracy below with it."
)

# %% [markdown]
# ## Look first: are the splits really apart?
#
# No picture may be in two splits. Comparing file names does not show that: a copy can have another
# name. So we make a tiny thumbnail of each picture, 8×8 pixels with the mean taken away, and look
# for the training picture that is most like it.


# %%
def thumbnails(split):
    small = F.adaptive_avg_pool2d(split.images.float(), 8)
    small = small - small.mean(dim=(2, 3), keepdim=True)
    return F.normalize(small.flatten(1))


known = thumbnails(catalog.train)
nearest = {
    name: torch.cdist(thumbnails(catalog.splits[name]), known).min(dim=1)
    for name in ("validation", "test")
}
closer = int((nearest["validation"].values < nearest["test"].values.min()).sum())
say(
    f"Of {len(catalog.validation)} validation pictures, {closer} have a training picture that is "
    "closer to them than any training picture is to any test picture. A copy would be at distance "
    f"0; the closest pair of all is at {min(float(d.values.min()) for d in nearest.values()):.2f}."
)

# %% tags=["hide-input"]
pictures, titles = [], []
for name, (distances, places) in nearest.items():
    closest = distances.argsort()[:6]
    pictures += [catalog.splits[name].images[closest], catalog.train.images[places[closest]]]
    titles += [f"{name} {distances[place]:.2f}" for place in closest] + ["train"] * len(closest)
show(
    plots.picture_grid(torch.cat(pictures), titles, columns=6, width=8),
    alt="Four rows of six pictures: the validation pictures closest to a training picture, below "
    "each of them that picture, then the same for test. The smallest distances are "
    + " and ".join(f"{near.values.min():.2f} for {name}" for name, near in nearest.items())
    + ".",
    caption="The closest pairs of validation and train (first two rows), and of test and train "
    "(last two). The number is the distance of their thumbnails.",
)

# %% [markdown]
# ## Whose clothes are these?
#
# Volunteers sent the photos ([Grigorev,
# 2020](https://github.com/alexeygrigorev/clothing-dataset-small)), and it is known who sent which.

# %% tags=["hide-input"]
senders = recorded("senders")
met = {
    name: sum(person in senders["train"] for person in senders[name].values()) / len(senders[name])
    for name in ("validation", "test")
}
say(
    f"{met['validation']:.0%} of the validation photos, and {met['test']:.0%} of the test photos, "
    "were sent by people who sent training photos too. The test photos come from "
    f"{len(set(senders['test'].values()))} people. So validation tells how well a network does in "
    f"homes that it knows, and test how well it does in a few others. Recorded: {about(senders)}."
)

# %% [markdown]
# [Chapter 8](08_what_does_it_look_at.ipynb) counts who sent what, and asks for whom a network will
# fail.
#
# ## Augmentation
#
# A few thousand pictures are few. Each time a training picture is shown, we change it in ways
# that leave its class alone. [The article's
# repository](https://github.com/niranjanaambadi/Fashion_search_engine) flips pictures and rotates
# them by up to ten degrees. We flip, keep a random crop and change the light a little. Every
# picture gets its own draw.

# %%
picture = catalog.train.images[first[0][:1]]
with training.seeded(seed=0, epoch=0):
    draws = [
        augment(picture.expand(8, -1, -1, -1), AUGMENTATIONS[name](112))
        for name in ("article", "fashion")
    ]
show(
    plots.picture_grid(torch.cat(draws), columns=8, width=8),
    alt="One garment sixteen times: in the first row slightly rotated, some flipped; in the "
    "second row cut out at different places and sizes, some flipped, lighter and darker.",
    caption="One training picture, eight draws each: flip and rotation (first row), and ours "
    "(second row).",
)

# %% [markdown]
# Validation and test pictures are **never** augmented. They pass through `to_input` only, which
# scales to −1…1 and draws nothing at random, so the same picture gives the same numbers every time.
# (It is a common slip to use one transform for all splits. The validation accuracy then changes
# from run to run, and is usually too low.)

# %% tags=["nbval-check-output"]
plain = catalog.validation.images[:4]
print("evaluation input, twice the same:", torch.equal(to_input(plain, 112), to_input(plain, 112)))
print("shape:", tuple(to_input(plain, 112).shape), "dtype:", to_input(plain, 112).dtype)
print("range within -1 and 1:", bool(to_input(plain, 112).abs().max() <= 1))

# %% [markdown]
# ## The training loop
#
# The loop needs five things: a loss, a learning rate for each step, an average of the weights,
# batches, and an optimiser. We look at one after the other, then at the loop. What is written out
# here is the code of `fashionlib.training`, and a test keeps the two equal.
#
# **The loss** is cross-entropy, with *label smoothing* ([Szegedy et al.,
# 2016](https://arxiv.org/abs/1512.00567)): the network is asked to be a little less than certain,
# so it has no reason to grow surer and surer of what it already has right.
#
# **Before you run it:** what is the loss of a network that has learned nothing, for seven classes?
#
# <details class="answer"><summary>Answer</summary>
#
# It guesses about evenly, so it gives the right class a probability of 1/7, and the loss is
# −ln 1/7 = ln 7. A much larger first loss is a sign of a bug.
#
# </details>


# %%
# the same code as fashionlib.training.classification_loss, kept equal by a test
def classification_loss(model, inputs, labels, label_smoothing=0.0):
    return F.cross_entropy(model(inputs), labels, label_smoothing=label_smoothing)


spread = catalog.train.at(torch.arange(0, len(catalog.train), len(catalog.train) // 16))
inputs, labels = to_input(spread.images, 64), spread.labels
loss = classification_loss(build_classifier("fashion"), inputs, labels)
say(f"Loss of an untrained network: {loss:.2f}; ln 7 = {torch.tensor(7.0).log():.2f}.")

# %% [markdown]
# **The learning rate** rises for the first three tenths of the training and then falls to zero. Big
# steps explore, small steps settle. This is the *one-cycle* schedule ([Smith and Topin,
# 2018](https://arxiv.org/abs/1708.07120)).

# %%
import math


# the same code as fashionlib.training.one_cycle, kept equal by a test
def one_cycle(progress, warm_up=0.3):
    if progress < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm_up)) / 2
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


figure, axis = plt.subplots(figsize=(6, 2.2))
axis.plot(torch.linspace(0, 1, 200), [one_cycle(p) for p in torch.linspace(0, 1, 200).tolist()])
axis.set(xlabel="share of the training done", ylabel="share of the\nlargest learning rate")
show(
    figure,
    alt="A curve that rises from near 0 to 1 at three tenths and falls to 0 at the end.",
    caption="The one-cycle schedule: warm up, then cool down to exactly zero.",
)

# %% [markdown]
# **The average.** The weights change with every step and never quite come to rest. Their moving
# average is steadier, and costs one line a step. We evaluate the averaged weights.
# The running statistics of batch normalisation belong to the weights, so they are averaged too.


# %%
# the same code as fashionlib.training.update_average, kept equal by a test
@torch.no_grad()
def update_average(average, model, keep):
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


average, model = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
torch.nn.init.zeros_(average.weight), torch.nn.init.ones_(model.weight)
for _ in range(3):
    update_average(average, model, keep=0.5)
print("after three halvings of the distance to 1:", average.weight.item())

# %% [markdown]
# **The batches.** `shuffled` draws a new order and cuts it into batches. `labelled_batches` loads
# them one by one: augmented pictures and their labels. Both draw from torch's generator, so a seed
# decides everything.

# %%
recipe = training.Recipe()
with training.seeded(seed=0, epoch=0):
    batches = training.labelled_batches(catalog.train, recipe)
    inputs, labels = next(iter(batches))
print("inputs", tuple(inputs.shape), "labels", tuple(labels.shape))
say(f"{len(batches)} batches of {recipe.batch_size} make an epoch, by this recipe: `{recipe}`")

# %% [markdown]
# The recipe trains with smaller pictures (`size`) than it evaluates with (`evaluation_size`). A
# crop is enlarged, so garments look larger in training than in a whole picture. Evaluating with
# larger pictures makes up for that ([Touvron et al., 2019](https://arxiv.org/abs/1906.06423)).
#
# **The optimiser** moves the weights. Ours is AdamW ([Loshchilov and Hutter,
# 2019](https://arxiv.org/abs/1711.05101)). It fits the step of each weight to the gradients that
# this weight has had. It also makes weights a little smaller in each step (`weight_decay`), but not
# those of batch normalisation, and not biases. `training.make_optimizer` makes it.
#
# **One epoch** is one step for each batch: predict and compare (that is `loss_of`), work out how
# the loss changes with every parameter (`backward`), and let the optimiser move each parameter a
# little against that (`step`).
#
# Nothing in these lines knows what is learned. The triplets of chapter 3 and the boxes of chapter 7
# are learned by the same function, with other batches and another loss.


# %%
# the same code as fashionlib.training.train_epoch, kept equal by a test
def train_epoch(model, average, optimizer, batches, loss_of, recipe, epoch):
    losses = []
    model.train()
    for step, batch in enumerate(batches, start=epoch * len(batches)):
        set_learning_rate(optimizer, recipe, progress=step / (len(batches) * recipe.epochs))
        loss = loss_of(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(average, model, keep=min(recipe.average, (step + 1) / (step + 10)))
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


# %% [markdown]
# Two lines need a word. `progress` is the share of all steps that are done; the schedule takes the
# learning rate from it. And `keep` starts small, or the average would remember the random first
# weights for a long time.
#
# Two epochs, on every fifth picture. A network that guesses has a loss of ln 7 (see above). In so
# few steps the loss need not get far below that: what we see here is that the loop runs.

# %%
torch.manual_seed(0)
model = build_classifier("fashion").to(pick_device())
average, optimizer = copy.deepcopy(model), training.make_optimizer(model, recipe)
short = replace(recipe, epochs=2, size=budget(64, quick=32))
some = catalog.train.at(torch.arange(0, len(catalog.train), 5))
for epoch in range(short.epochs):
    batches = training.labelled_batches(some, short)
    loss = train_epoch(model, average, optimizer, batches, classification_loss, short, epoch)
    print(f"epoch {epoch + 1}: mean loss {loss:.2f}")

# %% [markdown]
# `training.train_classifier` does this for all epochs of a recipe, and evaluates the average on the
# validation pictures after each. What may surround a training (going on after an interruption, many
# processes, teachers) is in `fashionlib.running`.
#
# ## Two networks
#
# The first network is the article's: three blocks with depthwise filters. Where shapes differ, its
# skips are projected, and no ReLU follows the sum (chapter 5 trains it to the letter too). The
# article does not print how it was trained, so we take the settings of [its
# repository](https://github.com/niranjanaambadi/Fashion_search_engine): pictures of 64×64, a flip
# and a small rotation, Adam at a constant rate. The second network is ours. It has about as many
# parameters as the article says its own has. (Chapter 1 found that this number belongs to another
# network, whose "depthwise" convolution is dense.) Ours learns from pictures of 64×64 here too, so
# that nobody waits for long; [chapter 9](09_what_each_change_is_worth.ipynb) trains it longer, on
# larger ones.

# %% tags=["nbval-check-output"]
for plan in ("article", "fashion"):
    print(f"{plan:<8} {count_parameters(build_classifier(plan)):>8,} parameters")
assert count_parameters(build_classifier("fashion")) <= 429_399

# %%
EPOCHS = budget(4, quick=1)
recipes = {
    "article": replace(training.ARTICLE_RECIPE, epochs=EPOCHS),
    "fashion": training.Recipe(epochs=EPOCHS, size=64, evaluation_size=80),
}
runs = {}
for plan, recipe in recipes.items():
    torch.manual_seed(0)
    model = build_classifier(plan, len(catalog.classes))
    runs[plan] = training.train_classifier(model, catalog, recipe, seed=0)
print("trained:", ", ".join(runs))


# %%
def right(model, split):
    logits = predict(model, split.images)
    return metrics.count_correct(logits, split.labels), len(split)


rows = []
for plan, (model, history) in runs.items():
    seconds = sum(row["seconds"] for row in history)
    accuracy = metrics.format_accuracy(*right(model, catalog.validation))
    rows.append([plan, accuracy, f"{seconds:.0f} s"])
table(["network", f"validation, epochs: {EPOCHS}", "trained in"], rows)

# %%
correct, total = right(runs["article"][0], catalog.validation)
low, high = metrics.wilson_interval(correct, total)
say(
    f"The article's figure is 85%. Its network reaches {correct / total:.1%} here, and the "
    f"interval of that ({low:.1%} to {high:.1%}) "
    f"**{metrics.against(correct, total, 0.85)}** the article's figure"
    + (" (which was measured on the photos)." if catalog.name != "photos" else ".")
)

# %% tags=["hide-input"]
whole = [run["classifiers"]["article"] for run in recorded("article")["runs"]]
shares = (count / of for count, of in (run["right"]["validation"] for run in whole))
say(
    f"After {len(whole[0]['history'])} epochs, recorded with {len(whole)} seeds, it has "
    f"{', '.join(f'{share:.1%}' for share in shares)} of the validation photos."
)

# %% tags=["hide-input"]
histories = {plan: history for plan, (_, history) in runs.items()}
show(
    plots.training_curves(histories),
    alt=plots.training_curves_alt(histories),
    caption="Training loss (left) and validation accuracy (right). The losses cannot be compared: "
    "label smoothing alone lifts ours. The accuracies can.",
)

# %% [markdown]
# The intervals ([Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953)) are for a *share of
# pictures*. They say how far this share may be from the share of all pictures of the same kind.
# They do not say what another seed might have given.
#
# Our network differs from the article's in two ways at once: other blocks, and another recipe.
# Which of the two matters? One run of each cannot tell.
# [Chapter 9](09_what_each_change_is_worth.ipynb) trains each network by each recipe.
#
# ## Where it goes wrong
#
# A single number hides which classes are mixed up. The confusion matrix has a row for each true
# class and a column for each answer.

# %% tags=["hide-input"]
model = runs["fashion"][0]
logits, labels = predict(model, catalog.validation.images), catalog.validation.labels
matrix = metrics.confusion_matrix(logits.argmax(dim=1), labels, len(catalog.classes))
show(
    plots.confusion_figure(matrix, catalog.classes),
    alt=plots.confusion_alt(matrix, catalog.classes),
    caption="Validation pictures: true class (row) against answer (column). Off the diagonal are "
    "the mistakes.",
)

# %% [markdown]
# And the mistakes themselves, the surest first. Judge for yourself: some are plainly wrong, some
# pictures could be either, and sometimes the label is wrong.

# %% tags=["hide-input"]
sureness, answers = logits.softmax(dim=1).max(dim=1)
wrong = torch.nonzero(answers != labels)[:, 0]
wrong = wrong[sureness[wrong].argsort(descending=True)][:16]
titles = [
    f"{catalog.classes[labels[i]]}?\n{catalog.classes[answers[i]]} {sureness[i]:.0%}" for i in wrong
]
show(
    plots.picture_grid(catalog.validation.images[wrong], titles),
    alt="The surest mistakes: "
    + "; ".join(
        f"a {catalog.classes[labels[i]]} called {catalog.classes[answers[i]]}" for i in wrong
    ),
    caption="The surest mistakes on validation. First line: the label; second line: the answer "
    "and the probability that the network gives it.",
)

# %% [markdown]
# ## Is it as right as it is sure?
#
# Each answer comes with a probability. A network is *calibrated* if, of all answers given with
# a probability of nine tenths, nine in ten are right, and likewise for every other probability
# ([Guo et al., 2017](https://arxiv.org/abs/1706.04599)).
#
# **Before you run it:** will our network be *overconfident* (surer than it is right) or
# *underconfident* (less sure)?
#
# <details class="answer"><summary>Answer</summary>
#
# See where the points lie. Above the diagonal it is right more often than it says. Label smoothing
# pushes it there: the loss is smallest when even a clear picture gets a little less than certainty
# ([Müller et al., 2019](https://arxiv.org/abs/1906.02629)). So does augmentation, because a cropped
# and darkened training picture is harder than the plain ones it is judged by. Long training without
# the two pushes it the other way.
#
# </details>

# %% tags=["hide-input"]
is_right = (answers == labels).float()
parts = sureness.argsort().chunk(5)  # from the least sure to the surest
x = [float(sureness[part].mean()) for part in parts]
y = [float(is_right[part].mean()) for part in parts]
bars = [metrics.wilson_interval(float(is_right[part].sum()), len(part)) for part in parts]
figure, axis = plt.subplots(figsize=(4.6, 4))
axis.plot([0, 1], [0, 1], "--", color="grey", label="as right as it is sure")
below = [max(0.0, share - low) for share, (low, _) in zip(y, bars, strict=True)]
above = [max(0.0, high - share) for share, (_, high) in zip(y, bars, strict=True)]
axis.errorbar(x, y, yerr=[below, above], fmt="o", capsize=3, label="a fifth of the pictures")
most = 1 - (smoothing := recipes["fashion"].label_smoothing) * (1 - 1 / len(catalog.classes))
axis.axvline(most, color="black", lw=1, label="what the loss asks for")
axis.set(xlabel="mean probability of the answer", ylabel="share that is right")
axis.legend(loc="upper left", fontsize=8)
pairs = "; ".join(f"{a:.0%} sure, {b:.0%} right" for a, b in zip(x, y, strict=True))
show(
    figure,
    alt=f"Share of right answers over their mean probability, in five parts: {pairs}.",
    caption="Validation pictures in five parts, from the least to the most sure, with intervals.",
)

# %%
sure, count = float(sureness.mean()), int(is_right.sum())
tells = {
    "is above": "**less sure than it is right** (underconfident)",
    "is below": "**surer than it is right** (overconfident)",
    "agrees with": "**about as sure as it is right**",
}
say(
    f"Mean probability of the answers: {sure:.0%}. Right: "
    f"{metrics.format_accuracy(count, len(is_right))}. So the network is "
    f"{tells[metrics.against(count, len(is_right), sure)]}. With a label smoothing of {smoothing}, "
    f"the loss asks for a probability of {most:.0%} and no more, however clear the picture is."
)

# %% [markdown]
# A shop may leave a garment to a person where the network is not sure. *Move the slider:* how sure
# must it be, and how much work is left for people?

# %% tags=["hide-input"]
pieces = {}
for least in range(0, 100, 5):
    told = sureness >= least / 100
    kept = metrics.format_accuracy(int(is_right[told].sum()), int(told.sum())) if told.any() else ""
    pieces[f"{least}%"] = (
        f"<p>The network answers {float(told.float().mean()):.0%} of the validation pictures. "
        f"Right, of those: {kept or 'there are none'}.</p>"
    )
slider("probability of at least", pieces)

# %% [markdown]
# ## The test pictures
#
# Plan and recipe were chosen on validation. Now we measure on the test pictures, and in this
# notebook that happens once. But they have been used before:

# %%
runs_of = {name: recorded(name)["runs"] for name in ("article", "rivals", "small", "ten_classes")}
counts = {name: len(runs) for name, runs in runs_of.items()}
counts["article"] = sum(len(run["classifiers"]) for run in runs_of["article"])
say(
    f"The recorded results have figures on the test photos of {sum(counts.values())} classifiers: "
    f"{counts['article']} for the article's claims and {counts['rivals']} of other networks "
    f"(chapter 5), {counts['small']} small ones and {counts['ten_classes']} for all ten classes "
    "(chapter 9). The model cards of the weights that come with the library have more, and so has "
    "chapter 6, for the same weights in eight bits. The cards say that the test figures of earlier "
    "attempts were seen; nobody counted those. So the recipe was "
    "chosen on validation, but by people who had seen test figures of its relatives."
)

# %%
test_logits, test_labels = predict(model, catalog.test.images), catalog.test.labels
test_right = metrics.count_correct(test_logits, test_labels)
say(f"**Test: {metrics.format_accuracy(test_right, len(test_labels))}.**")

# %% [markdown]
# Is that better or worse than on validation? The two splits differ in their mix of classes, so a
# network that is good at shoes looks better where there are more shoes. There are two ways to take
# the mix out. *Macro accuracy* is the mean over the classes: each class counts the same. Or
# we ask what one split would give with the other's mix.
#
# **Before you run it:** how far apart do you expect the two splits to be?
#
# <details class="answer"><summary>Answer</summary>
#
# Test shows the clothes of people who are not in train, so one may expect less. But the mix of
# classes can hide that or turn it round: compare the first row with the other two.
#
# </details>


# %%
def accuracy_by_class(logits, labels):
    matrix = metrics.confusion_matrix(logits.argmax(dim=1), labels, len(catalog.classes))
    return matrix.diagonal() / matrix.sum(dim=1).clamp(min=1)


def mix(labels):
    return torch.bincount(labels, minlength=len(catalog.classes)) / len(labels)


by_class = [accuracy_by_class(logits, labels), accuracy_by_class(test_logits, test_labels)]
plain = [float(by_class[0] @ mix(labels)), float(by_class[1] @ mix(test_labels))]
macro = [float(each.mean()) for each in by_class]
as_test = [float(each @ mix(test_labels)) for each in by_class]
rows = {"every picture counts the same": plain, "every class counts the same (macro)": macro,
        "classes as often as in test": as_test}  # fmt: skip
table(
    ["accuracy", "validation", "test", "difference, points"],
    [[name, f"{a:.1%}", f"{b:.1%}", f"{100 * (b - a):+.1f}"] for name, (a, b) in rows.items()],
)

# %% tags=["hide-input"]
gap, left = plain[1] - plain[0], as_test[1] - as_test[0]
tells = {
    "is below": "The interval of test lies below that: a sign that validation flatters it.",
    "is above": "The interval of test lies above that: test is the easier one for this network.",
    "agrees with": "The interval of test holds that: there is no sign that validation flatters it.",
}
say(
    f"Test is {100 * abs(gap):.1f} points {'above' if gap >= 0 else 'below'} validation. With the "
    f"same mix of classes the difference is {100 * left:+.1f} points: the mix "
    + (
        "turns it round. "
        if left * gap < 0
        else "explains a part of it. "
        if abs(left) < abs(gap)
        else "does not account for it. "
    )
    + f"With the mix of test, validation gives {as_test[0]:.1%}. "
    + tells[metrics.against(test_right, len(test_labels), as_test[0])]
    + " (Validation is a sample too, so this is less sure than it looks.)"
)

# %%
rows = []
for label, name in enumerate(catalog.classes):
    row = [name]
    for out, truth in ((logits, labels), (test_logits, test_labels)):
        of_class = truth == label
        count = metrics.count_correct(out[of_class], truth[of_class])
        row.append(metrics.format_accuracy(count, int(of_class.sum())) if of_class.any() else "")
    rows.append(row)
table(["class", "validation: right of this class", "test: right of this class"], rows)

# %% [markdown]
# With so few pictures a class the intervals are wide: compare those of the two splits before you
# call one class harder. And for whom does it work? The test photos, by who sent them:

# %%
if catalog.name == "photos":
    who = [senders["test"][name] for name in catalog.test.names]
    of_sender = Counter(who)
    is_right = test_logits.argmax(dim=1) == test_labels
    right_of = Counter(sender for sender, ok in zip(who, is_right.tolist(), strict=True) if ok)
    table(
        ["person", "right of this person's photos"],
        [
            [f"number {sender}", metrics.format_accuracy(right_of[sender], count)]
            for sender, count in of_sender.most_common()
        ],
    )
else:
    say("Drawn garments have no owners: this is shown where the page is made with the photos.")

# %% [markdown]
# ## Save it, load it, get the same answers
#
# Weights are saved as *safetensors*: loading one runs no code, unlike a pickle. The class names,
# the plan and the preprocessing travel inside, so a file can be used without this notebook.

# %% tags=["nbval-check-output"]
import tempfile
from pathlib import Path

from fashionlib.weights import load_classifier, save_classifier

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "classifier.safetensors"
    save_classifier(path, model, catalog.classes)
    loaded, metadata = load_classifier(path)
cpu = model.cpu()
same = torch.equal(
    predict(loaded, catalog.test.images[:64]), predict(cpu, catalog.test.images[:64])
)
print("classes:", ", ".join(metadata["classes"]))
print("the loaded network answers the same:", same)

# %% [markdown]
# From the shell, one command trains our network, reports how good it is, and saves it:
#
# ```bash
# fashionlib train-classifier --epochs 10
# ```
#
# It takes `--data` for any folder of class folders, and goes on where it was interrupted. It
# reports validation and test each time: while you still try recipes, look at validation alone.
#
# ## What you have learned
#
# - The mix of classes, the majority baseline, and who made the pictures come before any accuracy.
# - File names do not show whether splits are apart. Nearest neighbours find copies; a list of who
#   sent what finds shared homes.
# - Augmentation is for training only. Evaluation is repeatable.
# - One loop of a few lines trains classifiers, encoders and detectors: batches and loss differ.
# - A few hundred pictures give intervals several points wide, and say little about the clothes of
#   people who are not among the few that sent them.
# - The probability that a network gives need not be how often it is right: compare the two.
# - Validation chooses; test is opened once, or you say how often.
#
# ## Questions
#
# **1.** Your validation accuracy differs each time you evaluate the same weights. What is the
# likeliest cause?
#
# <details class="answer"><summary>Answer</summary>
#
# The evaluation pictures pass through the augmentation. Or the network was left in training mode
# and the batches are shuffled: then batch-norm uses the statistics of whatever batch a picture is
# in. Print `model.training`, and compare two calls of `to_input` as above.
#
# </details>
#
# **2.** Two networks get 238 and 241 of the same 276 pictures right. Is the second one better?
#
# <details class="answer"><summary>Answer</summary>
#
# Nothing here says so: the interval of either is several points wide, see
# `metrics.wilson_interval(238, 276)`. The pictures are the same, so a better test looks only at
# those that one network has right and the other wrong: if the second wins about half of them, the
# difference may be chance (McNemar's test). And train both with several seeds.
#
# </details>
#
# **3.** Why does the classifier's last layer have no softmax?
#
# <details class="answer"><summary>Answer</summary>
#
# Cross-entropy wants logits: it takes the logarithm of the softmax itself, in a way that does not
# overflow. For the answer only the largest logit matters, and softmax does not change which one
# that is: compare `logits.softmax(dim=1).argmax(dim=1)` with `logits.argmax(dim=1)`.
#
# </details>
#
# **4.** Why are the running statistics of batch normalisation averaged along with the weights?
#
# <details class="answer"><summary>Answer</summary>
#
# They describe the activations that the weights produce. Averaged weights produce other activations
# than the last weights do; with the last statistics they would be normalised wrongly.
#
# </details>
#
# **5.** A script takes the mean of the accuracies of all batches. Why is that not the accuracy?
#
# <details class="answer"><summary>Answer</summary>
#
# The last batch is smaller than the others, so each of its pictures counts for more. Count right
# pictures and divide once, as `metrics.accuracy` does.
#
# </details>
