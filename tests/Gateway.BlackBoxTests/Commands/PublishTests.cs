using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>
/// SPEC §1. Goal: <c>dotnet publish src/Gateway.Cli -o DIR</c> leaves a program that runs. Method: publish what is built, run it
/// from another folder.
/// </summary>
[Collection(Alone.Name)]
public sealed class PublishTests
{
    [Fact]
    public async Task Published_program_runs_from_anywhere()
    {
        string folder = Directory.CreateTempSubdirectory("gwp-").FullName;
        try
        {
            CommandResult publish = await ChildProcess.Run(
                "dotnet",
                ["publish", Path.Combine(Repository.Root, "src", "Gateway.Cli"), "-c", Repository.Configuration, "-o", folder,
                    "--no-build", "--nologo", "-v", "q", "-nodeReuse:false"],
                seconds: 120);
            Assert.True(publish.Exit == 0, publish.All);
            CommandResult help = await ChildProcess.Run(
                Path.Combine(folder, "gateway"), ["--help"], new Dictionary<string, string?> { ["DOTNET_ROOT"] = Repository.DotnetRoot }, folder: "/");
            Assert.True(help.Exit == 0, help.All);
            Assert.Contains("run", help.Out, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
