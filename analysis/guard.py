"""Event loops in a child process, and the file that is to blame where one fails."""

from dataclasses import replace

from analysis.children import DiedError, each
from analysis.errors import DeclarationError, InputError, listed
from analysis.export import forget_filters
from analysis.inputs import BadFileError
from analysis.loops import CompiledLoop, PlainLoop, UnreadableError, use_threads
from helpers.terminal import captured_stderr


def event_loop(item, layout, folder):
    """The EventLoop of a sample (run.Prepared); the other arguments are those of an EventLoop."""
    return (CompiledLoop if item.compiled else PlainLoop)(item, layout, folder)


def run_guarded(items, layout, folder, threads, use):
    """Run the event loops of samples, one after the other, in a child process.

    items: run.Prepared of each sample; layout, folder: see EventLoop
    use: called with each item and its EventLoop; runs it and returns what is wanted
    Yields (item, result) in order: what `use` returned, or the InputError or DeclarationError that
    ended the sample, BadFileError where a file could not be read. Raises other exceptions.
    """

    def work(number):
        item = items[number]
        return use(item, event_loop(item, layout, folder))

    def begin():
        use_threads(threads)
        forget_filters()

    for number, result in each(work, range(len(items)), begin=begin):
        if isinstance(result, DiedError | UnreadableError):
            result = blame(items[number], layout, folder, begin, str(result))
        if isinstance(result, Exception) and not isinstance(result, InputError | DeclarationError):
            raise result
        yield items[number], result


def blame(item, layout, folder, begin, problem):
    """The BadFileError of a sample that could not be read: its files are read one by one."""
    files = [file for file in item.inputs.files if file.entries]

    def read(number):
        inputs = item.inputs.only(files[number].path)
        one = replace(item, inputs=inputs, entries=inputs.entries, begin=0)
        with captured_stderr():
            return event_loop(one, layout, folder).read()

    for number, result in each(read, range(len(files)), begin=begin):
        if isinstance(result, Exception) and not isinstance(result, DiedError | InputError):
            raise result
        if result:
            return BadFileError(item.sample.name, files[number].path, str(result))
    return BadFileError(item.sample.name, None, f"{listed(item.inputs.paths)}: {problem}")
