import torch

from raybilevel.rewards.digits_classifier import digits_classifier, folds, proxy_classifier


def accuracy(classifier, fold):
    return (classifier.logits(fold.images).argmax(1) == fold.labels).double().mean().item()


def test_folds_share_no_image():
    train, held_out = folds()
    assert len(train.labels) + len(held_out.labels) == 1797
    assert len(held_out.labels) == 360
    seen = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in seen for image in held_out.images)


def test_the_good_classifier_knows_held_out_digits_and_the_proxy_knows_them_less():
    held_out = folds()[1]
    assert accuracy(digits_classifier(), held_out) >= 0.97
    assert 0.8 <= accuracy(proxy_classifier(), held_out) <= 0.93


def test_the_second_load_gives_the_same_network_without_touching_the_generator():
    images = folds()[1].images[:8]
    first = digits_classifier().logits(images)
    state = torch.random.get_rng_state()
    torch.testing.assert_close(digits_classifier().logits(images), first, rtol=0, atol=0)
    proxy_classifier()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_features_lie_under_the_logits():
    classifier = digits_classifier()
    images = folds()[1].images[:8]
    features = classifier.features(images)
    assert features.shape == (8, 64)
    assert torch.equal(classifier.head(features), classifier.logits(images))
